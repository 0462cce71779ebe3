//! A walk through a series: one student at a time, the next one read from disk while this one works.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::CheckpointAt;
use crate::{Config, Device, Error, LoadOptions, PeftAdapter, Result, Student, Words};

/// Goes through the checkpoints of a series in their order.
///
/// Where neighbors are adapters on one model, its weights stay in memory and the adapters are swapped. A checkpoint
/// without a tokenizer reads with the words of the first one.
///
/// Cost: memory of two checkpoints, however many there are; each is also hashed on the way.
pub struct Walk {
    left: VecDeque<CheckpointAt>,
    /// None once the walk is over, so that the reader stops.
    read: Option<Receiver<Result<Read>>>,
    reader: Option<JoinHandle<()>>,
    model: Option<PathBuf>,
    student: Option<Student>,
    device: Device,
    may_be_nothing: bool,
}

/// What a checkpoint adds to the one before it.
struct Read {
    student: Option<Student>,
    adapter: Option<PeftAdapter>,
}

impl Walk {
    /// Begins to read the first checkpoint. An adapter that changes nothing is an error unless `may_be_nothing`.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(series: Vec<CheckpointAt>, options: LoadOptions, may_be_nothing: bool) -> Result<Self> {
        // Nothing is read ahead of the one that is waited for.
        let (send, read) = sync_channel(0);
        let place = series.first().map_or_else(PathBuf::new, |at| at.model.clone());
        let left = VecDeque::from(series.clone());
        let reader =
            Builder::new().name("series".into()).spawn(move || Reader::new(options).run(&series, &send));
        Ok(Self {
            left,
            read: Some(read),
            reader: Some(reader.map_err(Error::io(&place))?),
            model: None,
            student: None,
            device: options.device,
            may_be_nothing,
        })
    }

    /// The next checkpoint and its student; none behind the last.
    ///
    /// # Errors
    /// Those of [`Student::load`], [`PeftAdapter::read`] and [`Student::put_on`]; the walk is then over.
    pub fn advance(&mut self) -> Result<Option<(CheckpointAt, &Student)>> {
        let Some(at) = self.left.pop_front() else { return Ok(None) };
        if self.model.as_ref() != Some(&at.model) {
            // Freed before the next but one is read.
            self.student = None;
        }
        match self.receive().and_then(|read| self.take(&at, read)) {
            Ok(student) => {
                self.model = Some(at.model.clone());
                Ok(Some((at, self.student.insert(student))))
            }
            Err(error) => {
                self.left.clear();
                self.read = None;
                Err(error)
            }
        }
    }

    fn receive(&mut self) -> Result<Read> {
        match self.read.as_ref().and_then(|read| read.recv().ok()) {
            Some(read) => read,
            None => match self.reader.take().map(JoinHandle::join) {
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                _ => unreachable!("the reader sends every checkpoint or the error that ended it"),
            },
        }
    }

    fn take(&mut self, at: &CheckpointAt, read: Read) -> Result<Student> {
        let Some(mut student) = read.student.or(self.student.take()) else {
            unreachable!("`{}` comes with its model or stands on the one before", at.path().display())
        };
        student.move_to(self.device)?;
        match &read.adapter {
            Some(adapter) => _ = student.put_on(adapter, self.may_be_nothing)?,
            None => student.take_off_adapter()?,
        }
        Ok(student)
    }
}

/// Reads checkpoints into the processor's memory.
struct Reader {
    options: LoadOptions,
    model: Option<(PathBuf, Config)>,
    words: Option<Arc<Words>>,
}

impl Reader {
    fn new(options: LoadOptions) -> Self {
        Self { options: LoadOptions { device: Device::Cpu, ..options }, model: None, words: None }
    }

    /// Ends with the series, the first error, or the walk.
    fn run(mut self, series: &[CheckpointAt], send: &SyncSender<Result<Read>>) {
        for at in series {
            let read = self.read(at);
            let failed = read.is_err();
            if send.send(read).is_err() || failed {
                return;
            }
        }
    }

    fn read(&mut self, at: &CheckpointAt) -> Result<Read> {
        let resident = self.model.as_ref().filter(|(path, _)| *path == at.model);
        let (student, config) = if let Some((_, config)) = resident {
            (None, config.clone())
        } else {
            let student = self.load(at)?;
            let config = student.config().clone();
            (Some(student), config)
        };
        let adapter = at.adapter.as_ref().map(|folder| PeftAdapter::read(folder, &config)).transpose()?;
        self.model = Some((at.model.clone(), config));
        Ok(Read { student, adapter })
    }

    fn load(&mut self, at: &CheckpointAt) -> Result<Student> {
        let mut student = Student::load(&at.model, &self.options)?;
        student.sha256()?;
        if !student.words().has_tokenizer()
            && let Some(words) = &self.words
        {
            student.set_words(Arc::clone(words));
        }
        self.words.get_or_insert_with(|| student.shared_words());
        Ok(student)
    }
}
