//! Rows of a table by number, and back.

use super::{Rows, for_rows};

/// Rows `ids` of `table`. `[n, width]`
pub(crate) fn gather(table: Rows<'_>, ids: &[u32], out: &mut [f32]) {
    for_rows(
        out,
        table.width,
        #[inline(always)]
        |row, out| out.copy_from_slice(table.row(ids[row] as usize)),
    );
}

/// Gradient of [`gather`] in the table, into `out`: every row of it is the sum of the rows of `grad` that came from
/// it, in their order.
pub(crate) fn scatter_add(grad: Rows<'_>, ids: &[u32], out: &mut [f32]) {
    let n = out.len() / grad.width;
    let mut ends = vec![0; n + 1];
    for id in ids {
        ends[*id as usize + 1] += 1;
    }
    for id in 0..n {
        ends[id + 1] += ends[id];
    }
    let mut next = ends.clone();
    let mut rows = vec![0; ids.len()];
    for (row, id) in ids.iter().enumerate() {
        rows[next[*id as usize]] = row;
        next[*id as usize] += 1;
    }
    for_rows(
        out,
        grad.width,
        #[inline(always)]
        |id, out| {
            for row in &rows[ends[id]..ends[id + 1]] {
                for (out, grad) in out.iter_mut().zip(grad.row(*row)) {
                    *out += grad;
                }
            }
        },
    );
}
