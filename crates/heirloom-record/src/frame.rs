//! Named columns, written as Parquet for pandas and polars and as CSV for people.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::types::Type;

use crate::{Error, Result, write_file};

/// The values of one column; `None` is an empty cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Strings.
    Text(Vec<Option<String>>),
    /// Whole numbers.
    Integer(Vec<Option<i64>>),
    /// Numbers.
    Float(Vec<Option<f64>>),
}

/// Columns of one length with their names, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame(pub Vec<(&'static str, Column)>);

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Float(values) => values.len(),
        }
    }

    /// The cell as CSV writes it: floats in the shortest form that parses back to the same bits.
    fn cell(&self, row: usize) -> String {
        match self {
            Self::Text(values) => values[row].clone().unwrap_or_default(),
            Self::Integer(values) => values[row].map(|value| value.to_string()).unwrap_or_default(),
            Self::Float(values) => values[row].map(|value| value.to_string()).unwrap_or_default(),
        }
    }
}

impl Frame {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.0.first().map_or(0, |(_, column)| column.len())
    }

    /// Writes a CSV file with a header line.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let bytes = self.csv().map_err(|source| Error::Csv { action: "write", path: path.into(), source })?;
        write_file(path, &bytes)
    }

    /// The bytes of a CSV file with a header line.
    pub(crate) fn csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::Writer::from_writer(vec![]);
        writer.write_record(self.0.iter().map(|(name, _)| *name))?;
        for row in 0..self.rows() {
            writer.write_record(self.0.iter().map(|(_, column)| column.cell(row)))?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }

    /// Reads back the columns named in `like` from a CSV file; `like` gives names and types. An empty cell is `None`.
    ///
    /// # Errors
    /// Names the file and the column that is absent or holds something of another type.
    pub(crate) fn read_csv(path: &Path, like: &Self) -> Result<Self> {
        let failed = |source| Error::Csv { action: "read", path: path.into(), source };
        let text = std::fs::read(path).map_err(Error::io("read", path))?;
        let mut reader = csv::Reader::from_reader(&text[..]);
        let heads = reader.headers().map_err(failed)?.clone();
        let mut columns = like.clone();
        let place = |name: &str| {
            let problem =
                || Error::Cell { path: path.into(), column: name.into(), problem: "is missing".into() };
            heads.iter().position(|head| head == name).ok_or_else(problem)
        };
        let places = columns.0.iter().map(|(name, _)| place(name)).collect::<Result<Vec<_>>>()?;
        for record in reader.records() {
            let record = record.map_err(failed)?;
            for ((name, column), place) in columns.0.iter_mut().zip(&places) {
                let cell = &record[*place];
                if !parse(column, cell) {
                    let problem = format!("holds `{cell}`");
                    return Err(Error::Cell { path: path.into(), column: (*name).into(), problem });
                }
            }
        }
        Ok(columns)
    }

    /// Writes an uncompressed Parquet file; the same frame gives the same bytes.
    pub fn write_parquet(&self, path: &Path) -> Result<()> {
        let bytes = self.parquet();
        let bytes = bytes.map_err(|source| Error::Parquet { action: "write", path: path.into(), source })?;
        write_file(path, &bytes)
    }

    fn parquet(&self) -> Result<Vec<u8>, ParquetError> {
        let fields = self.0.iter().map(|(name, column)| field(name, column));
        let schema =
            Type::group_type_builder("heirloom").with_fields(fields.collect::<Result<_, _>>()?).build()?;
        let properties = WriterProperties::builder().set_created_by("heirloom".into()).build();
        let mut writer = SerializedFileWriter::new(vec![], Arc::new(schema), Arc::new(properties))?;
        let mut group = writer.next_row_group()?;
        for (_, column) in &self.0 {
            write_column(&mut group, column)?;
        }
        group.close()?;
        writer.into_inner()
    }

    /// Reads back the columns named in `like` from a Parquet file; `like` gives names and types.
    ///
    /// # Errors
    /// Names the file and the column that is absent or of another type.
    pub fn read_parquet(path: &Path, like: &Self) -> Result<Self> {
        let failed = |source| Error::Parquet { action: "read", path: path.into(), source };
        let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
        let reader = SerializedFileReader::new(file).map_err(failed)?;
        let mut columns = like.clone();
        for row in reader.get_row_iter(None).map_err(failed)? {
            let row = row.map_err(failed)?;
            for (name, column) in &mut columns.0 {
                let value = row.get_column_iter().find(|(found, _)| found == name).map(|(_, value)| value);
                let accepted = value.is_some_and(|value| push(column, value));
                if !accepted {
                    let problem = value.map_or("is missing".into(), |value| format!("holds `{value}`"));
                    return Err(Error::Cell { path: path.into(), column: (*name).into(), problem });
                }
            }
        }
        Ok(columns)
    }
}

fn field(name: &str, column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column {
        Column::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Column::Integer(_) => (Physical::INT64, None),
        Column::Float(_) => (Physical::DOUBLE, None),
    };
    let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    Ok(Arc::new(builder.with_logical_type(logical).build()?))
}

fn write_column(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    column: &Column,
) -> Result<(), ParquetError> {
    fn split<T: Clone>(values: &[Option<T>]) -> (Vec<T>, Vec<i16>) {
        let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
        (values.iter().flatten().cloned().collect(), levels)
    }
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General("more columns than the schema has".into()));
    };
    match column {
        Column::Text(values) => {
            let (values, levels) = split(values);
            let bytes: Vec<ByteArray> = values.iter().map(|text| text.as_str().into()).collect();
            writer.typed::<ByteArrayType>().write_batch(&bytes, Some(&levels), None)?;
        }
        Column::Integer(values) => {
            let (values, levels) = split(values);
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Column::Float(values) => {
            let (values, levels) = split(values);
            writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    writer.close()
}

fn parse(column: &mut Column, cell: &str) -> bool {
    fn put<T: std::str::FromStr>(values: &mut Vec<Option<T>>, cell: &str) -> bool {
        let value = (!cell.is_empty()).then(|| cell.parse());
        let is_good = !matches!(value, Some(Err(_)));
        values.push(value.and_then(Result::ok));
        is_good
    }
    match column {
        Column::Text(values) => put(values, cell),
        Column::Integer(values) => put(values, cell),
        Column::Float(values) => put(values, cell),
    }
}

fn push(column: &mut Column, value: &Field) -> bool {
    match (column, value) {
        (Column::Text(values), Field::Str(text)) => values.push(Some(text.clone())),
        (Column::Text(values), Field::Null) => values.push(None),
        (Column::Integer(values), Field::Long(number)) => values.push(Some(*number)),
        (Column::Integer(values), Field::Null) => values.push(None),
        (Column::Float(values), Field::Double(number)) => values.push(Some(*number)),
        (Column::Float(values), Field::Null) => values.push(None),
        _ => return false,
    }
    true
}
