//! In which order files keep the numbers of a weight.

use std::borrow::Cow;

/// How a file keeps what are rows of outputs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Row by row, too.
    Rows,
    /// Column by column: `Conv1D` of GPT-2, `[in, out]`.
    Columns,
    /// Row by row, with an axis of one between: the filters of a convolution, `[rows, 1, columns]`.
    Filters,
    /// Query, key and value of a head together, `[n_heads, 3, d_head, …]`, where here they are `[3, n_heads, d_head, …]`.
    Heads {
        /// Width of one head.
        d_head: usize,
    },
}

impl Order {
    /// Numbers `[rows, columns]` as the file keeps them.
    pub(crate) fn to_file<T: Copy>(self, values: &[T], columns: usize) -> Cow<'_, [T]> {
        match self {
            Self::Rows | Self::Filters => Cow::Borrowed(values),
            Self::Columns => Cow::Owned(transposed(values, columns)),
            Self::Heads { d_head } => Cow::Owned(swapped(values, 3, d_head * columns)),
        }
    }

    /// Numbers as the file keeps them, `[rows, columns]` again.
    pub(crate) fn restore(self, values: &mut [f32], columns: usize) {
        let here = match self {
            Self::Rows | Self::Filters => return,
            Self::Columns => transposed(values, values.len() / columns.max(1)),
            Self::Heads { d_head } => {
                swapped(values, values.len() / (3 * d_head * columns), d_head * columns)
            }
        };
        values.copy_from_slice(&here);
    }
}

/// `[n, columns]` → `[columns, n]`.
fn transposed<T: Copy>(values: &[T], columns: usize) -> Vec<T> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

/// `[outer, inner, width]` → `[inner, outer, width]`.
fn swapped<T: Copy>(values: &[T], outer: usize, width: usize) -> Vec<T> {
    let inner = values.len() / (outer * width);
    let at = |i: usize, o: usize| &values[(o * inner + i) * width..][..width];
    (0..inner).flat_map(|i| (0..outer).flat_map(move |o| at(i, o).iter().copied())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        // Two heads of two rows of two columns each.
        let here: Vec<f32> = (0..24_u8).map(f32::from).collect();
        let columns = 2;
        let first = |order: Order| order.to_file(&here, columns)[..6].to_vec();
        assert_eq!(first(Order::Rows), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(first(Order::Columns), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(first(Order::Heads { d_head: 2 }), [0.0, 1.0, 2.0, 3.0, 8.0, 9.0]);
        for order in [Order::Rows, Order::Columns, Order::Heads { d_head: 2 }] {
            let mut again = order.to_file(&here, columns).into_owned();
            order.restore(&mut again, columns);
            assert_eq!(again, here, "{order:?}");
        }
    }
}
