//! Keys and values of the tokens that rows have seen, so that a next token costs one token's work.
//!
//! In f32 on the processor every row keeps its own, laid out for attention by one query: keys in panels, values
//! key by key. Elsewhere all rows share one tensor a block, read by the composed operations. What recurrences remember
//! lies the same way: by row on the processor, one tensor a block on a device.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Storage, Tensor};
use rayon::prelude::*;

use crate::batch::Batch;
use crate::kept::Kept;
use crate::kernels::{DeltaSizes, Rows, Sizes};
use crate::{Result, ops};

/// Rows that a thread takes at a time.
const ROWS: usize = 8;

/// Keys and values of several rows.
pub(crate) struct Cache {
    /// Tokens seen of every row.
    lens: Vec<usize>,
    store: Store,
    recurrent: Memory,
}

/// What recurrences remember.
enum Memory {
    /// By row and block.
    Rows(Vec<BTreeMap<usize, Recurrent>>),
    /// By block, of all rows.
    Blocks(BTreeMap<usize, RecurrentBlock>),
}

/// How much a gated delta net remembers of a row.
#[derive(Clone, Copy)]
pub(crate) struct DeltaMemory {
    pub(crate) taps: usize,
    pub(crate) sizes: DeltaSizes,
}

/// What a gated delta net remembers of a row.
#[derive(Clone)]
pub(crate) struct Recurrent {
    /// The last tokens before the convolution, oldest first. `[taps − 1, channels]`
    pub(crate) tail: Vec<f32>,
    /// `[n_v_heads, d_k, d_v]`
    pub(crate) state: Vec<f32>,
}

/// What a gated delta net remembers of all rows.
#[derive(Clone)]
pub(crate) struct RecurrentBlock {
    /// The last tokens of each row before the convolution, oldest first. `[b, taps − 1, channels]`
    pub(crate) tail: Tensor,
    /// `[b, n_v_heads, d_k, d_v]`
    pub(crate) state: Tensor,
}

/// What the rows of a batch remember in one block.
pub(crate) enum Earlier<'a> {
    Rows(Vec<&'a mut Recurrent>),
    Block(&'a mut RecurrentBlock),
}

enum Store {
    /// Per row and block.
    Rows(Vec<Vec<Kept>>),
    Blocks {
        /// Where each row's tokens begin.
        starts: Vec<usize>,
        /// How many of each there is room for.
        room: Vec<usize>,
        /// Per block: keys and values, `[_, g, e]`.
        blocks: Vec<(Tensor, Tensor)>,
    },
}

impl Cache {
    /// Room for `room[row]` tokens of every row.
    pub(crate) fn new(
        room: &[usize],
        n_layers: usize,
        heads: Sizes,
        deltas: &BTreeMap<usize, DeltaMemory>,
        (dtype, device): (DType, &Device),
    ) -> Result<Self> {
        let lens = vec![0; room.len()];
        let recurrent = Memory::new(room.len(), deltas, (dtype, device))?;
        if device.is_cpu() && dtype == DType::F32 {
            let row = |room: &usize| (0..n_layers).map(|_| Kept::new(*room, heads)).collect();
            return Ok(Self { lens, store: Store::Rows(room.iter().map(row).collect()), recurrent });
        }
        let (starts, total) = starts(room);
        let zeros = || Tensor::zeros((total, heads.n_kv_heads, heads.d_head), dtype, device);
        let blocks = (0..n_layers).map(|_| Ok((zeros()?, zeros()?))).collect::<Result<_>>()?;
        Ok(Self { lens, store: Store::Blocks { starts, room: room.to_owned(), blocks }, recurrent })
    }

    /// Tokens seen of every row.
    pub(crate) fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// Where each row's keys begin in the tensors of [`Batch::pad_keys`]; `None` where rows keep their own.
    pub(crate) fn starts(&self) -> Option<&[usize]> {
        match &self.store {
            Store::Rows(_) => None,
            Store::Blocks { starts, .. } => Some(starts),
        }
    }

    /// Keeps a batch's new keys and values of one block; attention of its queries to all that is kept.
    ///
    /// Shapes: `q` `[t, h, e]`, `k` and `v` `[t, g, e]`, result `[t, h, e]`.
    ///
    /// Determinism: on the processor in f32, bit-equal to attention without a cache.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        [q, k, v]: [&Tensor; 3],
        batch: &Batch,
        heads: Sizes,
    ) -> Result<Tensor> {
        let rows = match &mut self.store {
            Store::Rows(rows) => rows,
            Store::Blocks { blocks, .. } => {
                let (keys, values) = &blocks[layer];
                let (k, v) = (k.contiguous()?, v.contiguous()?);
                for segment in batch.segments.iter() {
                    let (start, len) = (segment.q.start, segment.q.len());
                    keys.slice_set(&k.narrow(0, start, len)?, 0, segment.k.end - len)?;
                    values.slice_set(&v.narrow(0, start, len)?, 0, segment.k.end - len)?;
                }
                // The first tokens of all rows see themselves alone.
                if self.lens.iter().all(|len| *len == 0)
                    && let Some(z) = ops::fused_attention(q, &k, &v, batch, heads)?
                {
                    return Ok(z);
                }
                let scores = ops::scores(q, keys, batch, heads)?;
                return Ok(ops::weigh(&ops::pattern(&scores)?, values, batch, heads)?);
            }
        };
        let kept = rows.iter_mut().map(|row| &mut row[layer]);
        let parts = batch.segments.iter().zip(kept);
        // The first tokens of all rows see nothing kept: attention takes them several at a time.
        if self.lens.iter().all(|len| *len == 0)
            && let Some(z) = ops::fused_attention(q, k, v, batch, heads)?
        {
            return with_rows([k, v], |[k, v]| {
                for (segment, kept) in parts {
                    segment.q.clone().for_each(|token| kept.push(k.row(token), v.row(token), heads));
                }
                Ok(z)
            });
        }
        let mut z = vec![0.0; q.elem_count()];
        with_rows([q, k, v], |[q, k, v]| {
            let mut rest = &mut z[..];
            let mut tasks = Vec::with_capacity(batch.segments.len());
            for (segment, kept) in parts {
                let out = rest.split_off_mut(..segment.q.len() * q.width).unwrap_or_default();
                tasks.push((segment, kept, out));
            }
            tasks.into_par_iter().with_min_len(ROWS).for_each_init(
                Vec::new,
                |weights, (segment, kept, out)| {
                    for (token, out) in segment.q.clone().zip(out.chunks_exact_mut(q.width)) {
                        kept.push(k.row(token), v.row(token), heads);
                        kept.attend(q.row(token), heads, weights, out);
                    }
                },
            );
            Ok(())
        })?;
        Ok(Tensor::from_vec(z, q.shape(), q.device())?)
    }

    /// What every row remembers in one block with a recurrence.
    pub(crate) fn recurrent(&mut self, layer: usize) -> Option<Earlier<'_>> {
        match &mut self.recurrent {
            Memory::Rows(rows) => {
                Some(Earlier::Rows(rows.iter_mut().filter_map(|row| row.get_mut(&layer)).collect()))
            }
            Memory::Blocks(blocks) => blocks.get_mut(&layer).map(Earlier::Block),
        }
    }

    /// Counts a batch's tokens as seen; to be called once after all blocks.
    pub(crate) fn advance(&mut self, batch: &Batch) {
        for (len, segment) in self.lens.iter_mut().zip(batch.segments.iter()) {
            *len = segment.k.len();
        }
    }

    /// Drops the rows for which `keep` is false, not all of them; a shared tensor of keys or values keeps its size.
    pub(crate) fn retain(&mut self, keep: &[bool]) -> Result<()> {
        if keep.iter().all(|keep| *keep) {
            return Ok(());
        }
        only(&mut self.lens, keep);
        match &mut self.recurrent {
            Memory::Rows(rows) => only(rows, keep),
            Memory::Blocks(blocks) => {
                let kept: Vec<usize> = (0..keep.len()).filter(|row| keep[*row]).collect();
                blocks.values_mut().try_for_each(|block| {
                    *block = block.rows(&kept)?;
                    Ok::<_, crate::Error>(())
                })?;
            }
        }
        match &mut self.store {
            Store::Rows(rows) => only(rows, keep),
            Store::Blocks { starts, room, .. } => {
                only(starts, keep);
                only(room, keep);
            }
        }
        Ok(())
    }

    /// A cache whose row `i` is a copy of this one's row `of[i]`.
    pub(crate) fn copies(self, of: &[usize]) -> Result<Self> {
        if of.iter().copied().eq(0..self.lens.len()) {
            return Ok(self);
        }
        let lens = of.iter().map(|&row| self.lens[row]).collect();
        let recurrent = match self.recurrent {
            Memory::Rows(rows) => Memory::Rows(of.iter().map(|&row| rows[row].clone()).collect()),
            Memory::Blocks(blocks) => {
                let copy = |(layer, block): (usize, RecurrentBlock)| Ok((layer, block.rows(of)?));
                Memory::Blocks(blocks.into_iter().map(copy).collect::<Result<_>>()?)
            }
        };
        let store = match self.store {
            Store::Rows(rows) => Store::Rows(of.iter().map(|&row| rows[row].clone()).collect()),
            Store::Blocks { starts: old, room, blocks } => {
                let room: Vec<usize> = of.iter().map(|&row| room[row]).collect();
                let tokens = of.iter().zip(&room).flat_map(|(&row, room)| old[row]..old[row] + room);
                let tokens: Vec<u32> = tokens.map(|token| token as u32).collect();
                let copy = |(k, v): (Tensor, Tensor)| {
                    let tokens = Tensor::new(tokens.as_slice(), k.device())?;
                    Ok((k.index_select(&tokens, 0)?, v.index_select(&tokens, 0)?))
                };
                let blocks = blocks.into_iter().map(copy).collect::<Result<_>>()?;
                Store::Blocks { starts: starts(&room).0, room, blocks }
            }
        };
        Ok(Self { lens, store, recurrent })
    }
}

impl Memory {
    /// What `n` rows remember before their first token.
    fn new(
        n: usize,
        deltas: &BTreeMap<usize, DeltaMemory>,
        (dtype, device): (DType, &Device),
    ) -> Result<Self> {
        if ops::scans(dtype, device) {
            let row: BTreeMap<_, _> = deltas.iter().map(|(layer, memory)| (*layer, memory.row())).collect();
            return Ok(Self::Rows(vec![row; n]));
        }
        let blocks = deltas.iter().map(|(layer, memory)| Ok((*layer, memory.block(n, dtype, device)?)));
        Ok(Self::Blocks(blocks.collect::<Result<_>>()?))
    }
}

impl DeltaMemory {
    /// Before a row's first token.
    fn row(self) -> Recurrent {
        let Self { taps, sizes } = self;
        Recurrent { tail: vec![0.0; (taps - 1) * sizes.channels()], state: vec![0.0; sizes.state()] }
    }

    /// Before the first token of `n` rows; in f32 where the model computes in less.
    fn block(self, n: usize, dtype: DType, device: &Device) -> Result<RecurrentBlock> {
        let DeltaSizes { n_v_heads, d_k, d_v, .. } = self.sizes;
        let dtype = if dtype == DType::F64 { dtype } else { DType::F32 };
        Ok(RecurrentBlock {
            tail: Tensor::zeros((n, self.taps - 1, self.sizes.channels()), dtype, device)?,
            state: Tensor::zeros((n, n_v_heads, d_k, d_v), dtype, device)?,
        })
    }
}

impl RecurrentBlock {
    /// Row `i` is a copy of row `of[i]`.
    fn rows(&self, of: &[usize]) -> Result<Self> {
        let of: Vec<u32> = of.iter().map(|&row| row as u32).collect();
        let of = Tensor::new(of, self.state.device())?;
        Ok(Self { tail: self.tail.index_select(&of, 0)?, state: self.state.index_select(&of, 0)? })
    }
}

/// Keeps the elements for which `keep` is true.
fn only<T>(rows: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    rows.retain(|_| keep.next().copied().unwrap_or(true));
}

fn starts(room: &[usize]) -> (Vec<usize>, usize) {
    let mut total = 0;
    let start = |room: &usize| {
        total += room;
        total - room
    };
    (room.iter().map(start).collect(), total)
}

/// Tensors on the processor as rows, their first axis alone possibly strided.
pub(crate) fn with_rows<T, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([Rows<'_>; N]) -> Result<T>,
) -> Result<T> {
    let stored = tensors.map(Tensor::storage_and_layout);
    let mut rows = [const { Rows { data: &[], stride: 0, width: 0 } }; N];
    for (rows, (storage, layout)) in rows.iter_mut().zip(&stored) {
        let Storage::Cpu(storage) = &**storage else { unreachable!("rows are kept on the processor alone") };
        *rows = ops::rows(storage, layout)?.1;
    }
    f(rows)
}
