//! Every operation's fused form against the composed one, forward and backward.

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::config::Normalization;
use crate::kernels::{DeltaSizes, Segment};
use crate::rope::Rotary;

/// Numbers around 0, the same for a seed.
fn noise(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Result of `f`, and the gradients of Σ result · noise in each input; without a gradient where `frozen`.
fn run(
    inputs: &[Tensor],
    frozen: Option<usize>,
    dtype: DType,
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> (Vec<f32>, Vec<Option<Vec<f32>>>) {
    let vars: Vec<Tensor> = inputs
        .iter()
        .enumerate()
        .map(|(i, x)| if Some(i) == frozen { x.clone() } else { Var::from_tensor(x).unwrap().into_inner() })
        .collect();
    let cast: Vec<Tensor> = vars.iter().map(|x| x.to_dtype(dtype).unwrap()).collect();
    let y = f(&cast).unwrap().to_dtype(DType::F32).unwrap();
    let loss = (&y * noise(y.dims(), 99)).unwrap().sum_all().unwrap();
    let found = loss.backward().unwrap();
    let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    (flat(&y), vars.iter().map(|x| found.get(x).map(flat)).collect())
}

/// The fused form must be the composed one in f64 up to rounding, give the same bits whatever the threads, and
/// leave frozen inputs alone.
fn check(what: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor> + Sync) {
    let (y, gradients) = run(inputs, None, DType::F32, &f);
    let (expected, composed) = run(inputs, None, DType::F64, &f);
    near(&format!("{what}, result"), &y, &expected);
    for (i, (found, expected)) in gradients.iter().zip(&composed).enumerate() {
        let (found, expected) = (found.as_ref().unwrap(), expected.as_ref().unwrap());
        assert!(expected.iter().any(|x| *x != 0.0), "{what}, input {i}: nothing to compare");
        near(&format!("{what}, input {i}"), found, expected);
    }
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| run(inputs, None, DType::F32, &f));
        assert!(again == (y.clone(), gradients.clone()), "{what}: other bits with {threads} threads");
    }
    for frozen in 0..if inputs.len() > 1 { inputs.len() } else { 0 } {
        let (_, found) = run(inputs, Some(frozen), DType::F32, &f);
        for (i, found) in found.into_iter().enumerate() {
            assert!(
                found == gradients[i].clone().filter(|_| i != frozen),
                "{what}: {i} with {frozen} frozen"
            );
        }
    }
}

fn near(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0, |top: f32, x| top.max(x.abs()));
    let gap = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let gap = gap.fold(0.0, |top: f32, x| if x > top || x.is_nan() { x } else { top });
    assert!(gap <= 5e-6 * scale, "{what}: {gap:e} of {scale}");
}

#[test]
fn rowwise_operations_have_the_composed_gradients() {
    for (t, d) in [(1, 1), (3, 17), (70, 64), (100, 5)] {
        let at = |what: &str| format!("{what} {t} {d}");
        let (x, y, w) = (noise(&[t, d], 1), noise(&[t, d], 2), noise(&[d], 3));
        for kind in [Normalization::Rms, Normalization::RmsPlusOne, Normalization::Layer] {
            // The standardized row of one number is 0, whatever the number.
            if kind == Normalization::Layer && d == 1 {
                continue;
            }
            let inputs = [x.clone(), w.clone(), noise(&[d], 7)];
            let norm = |i: &[Tensor]| Norm {
                kind,
                eps: 0.3,
                weight: i[1].clone(),
                bias: i.get(2).cloned(),
                late: false,
            };
            let n = if kind == Normalization::Layer { 3 } else { 2 };
            check(&at(&format!("{kind:?}")), &inputs[..n], |i| norm(i).forward(&i[0]));
            check(&at(&format!("{kind:?} alone")), std::slice::from_ref(&x), |i| {
                norm(&[&i[..1], &inputs[1..n]].concat()).normalize(&i[0])
            });
        }
        check(&at("add"), &[x.clone(), y.clone()], |i| add(&i[0], &i[1]));
        for kind in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
            let at = |what: &str| at(&format!("{kind:?} {what}"));
            let wide = (&x * 5.0).unwrap();
            check(&at("alone"), std::slice::from_ref(&wide), |i| act(kind, &i[0]));
            check(&at("gate"), &[wide.clone(), y.clone()], |i| act_mul(kind, &i[0], &i[1]));
            check(&at("halves"), &[noise(&[t, 2 * d], 4)], |i| act_mul_halves(kind, &i[0]));
        }
        let ids = Tensor::new((0..90).map(|i| i * i % t as u32).collect::<Vec<_>>(), &Device::Cpu).unwrap();
        check(&at("gather"), std::slice::from_ref(&x), |i| gather(&i[0], &ids));
        for bias in [false, true] {
            let inputs = [x.clone(), noise(&[9, d], 5), noise(&[9], 6)];
            check(&at("linear"), &inputs[..if bias { 3 } else { 2 }], |i| {
                Linear::new(i[1].clone(), i.get(2).cloned()).forward(&i[0])
            });
        }
    }
}

#[test]
fn rotation_has_the_composed_gradient() {
    let batch = batch(&[3, 40], 12);
    // Whole heads, and heads of which the first coordinates alone are rotated.
    for e in [12, 20] {
        check(&format!("rotate {e}"), &[noise(&[43, 5, e], 1)], |i| rotate(&i[0], &batch.turns[0], false));
    }
}

#[test]
fn the_loss_has_the_composed_gradient() {
    for (n, d, v) in [(1, 4, 3), (600, 8, 11), (1100, 3, 50)] {
        let targets: Arc<[u32]> = (0..n as u32).map(|i| i * i % v as u32).collect();
        let weights: Arc<[f32]> = (0..n).map(|i| (i % 3) as f32 / n as f32 + 0.01).collect();
        let inputs = [(noise(&[n, d], 1) * 3.0).unwrap(), noise(&[v, d], 2)];
        for cap in [None, Some(1.5)] {
            let loss = |i: &[Tensor]| head_loss(&i[0], &i[1], cap, &targets, &weights);
            check(&format!("loss {n} {d} {v} {cap:?}"), &inputs, loss);
        }
    }
}

#[test]
fn a_loss_of_no_targets_is_zero() {
    let x = Var::from_tensor(&noise(&[0, 4], 1)).unwrap();
    let head = Var::from_tensor(&noise(&[3, 4], 2)).unwrap();
    let loss = head_loss(&x, &head, None, &Vec::new().into(), &Vec::new().into()).unwrap();
    assert_eq!(loss.to_scalar::<f32>().unwrap().to_bits(), 0);
    let gradient = loss.backward().unwrap().get(&head).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(gradient, vec![vec![0.0; 4]; 3]);
}

fn batch(lengths: &[usize], e: usize) -> Batch {
    let rows: Vec<Vec<u32>> = lengths.iter().map(|n| vec![0; *n]).collect();
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let frequencies: Vec<f32> = (0..e / 2).map(|i| 0.5 / (i + 1) as f32).collect();
    Batch::new(&rows, &[Rotary { frequencies, factor: 1.25 }], &Device::Cpu).unwrap()
}

fn attend(q: &Tensor, k: &Tensor, v: &Tensor, batch: &Batch, heads: Sizes) -> Result<Tensor> {
    match fused_attention(q, k, v, batch, heads)? {
        Some(z) => Ok(z),
        None => weigh(&pattern(&scores(q, k, batch, heads)?)?, v, batch, heads),
    }
}

/// Query heads, key heads, their width, a window and a cap.
type Shape = (usize, usize, usize, Option<usize>, Option<f32>);

const HEADS: [Shape; 8] = [
    (2, 2, 8, None, None),
    (4, 1, 12, Some(5), None),
    (4, 4, 16, None, None),
    (6, 3, 64, Some(33), None),
    (3, 1, 34, Some(40), None),
    (2, 1, 32, Some(2), None),
    (4, 2, 12, None, Some(0.9)),
    (3, 1, 34, Some(7), Some(0.5)),
];

#[test]
fn attention_has_the_composed_gradients() {
    for (n_heads, n_kv_heads, e, window, softcap) in HEADS {
        let heads = Sizes { n_heads, n_kv_heads, d_head: e, scale: 0.7, softcap, window };
        let of = |t, seed| {
            let seeds = [(n_heads, seed), (n_kv_heads, seed + 1), (n_kv_heads, seed + 2)];
            seeds.map(|(heads, seed)| noise(&[t, heads, e], seed))
        };
        let rows = batch(&[1, 37, 5, 70, 4], e);
        check(&format!("attention {heads:?}"), &of(117, 1), |i| attend(&i[0], &i[1], &i[2], &rows, heads));

        // Keys of earlier tokens lie apart, with room between them.
        let mut next = batch(&[3, 2], e);
        next.segments = [(0..3, 0..44), (3..5, 50..56)].map(|(q, k)| Segment { q, k }).into();
        let [q, _, _] = of(5, 4);
        let [_, k, v] = of(59, 7);
        check(&format!("kept {heads:?}"), &[q, k, v], |i| attend(&i[0], &i[1], &i[2], &next, heads));
    }
}

#[test]
fn self_attention_is_its_parts() {
    for (n_heads, n_kv_heads, e, window, softcap) in HEADS {
        let heads = Sizes { n_heads, n_kv_heads, d_head: e, scale: 0.7, softcap, window };
        let (t, rows) = (112, batch(&[1, 37, 4, 70], e));
        let by_parts = |qkv: &Tensor| {
            let qkv = qkv.reshape((t, n_heads + 2 * n_kv_heads, e))?;
            let q = rotate(&qkv.narrow(1, 0, n_heads)?, &rows.turns[0], false)?;
            let k = rotate(&qkv.narrow(1, n_heads, n_kv_heads)?, &rows.turns[0], false)?;
            attend(&q, &k, &qkv.narrow(1, n_heads + n_kv_heads, n_kv_heads)?, &rows, heads)
        };
        let qkv = noise(&[t, (n_heads + 2 * n_kv_heads) * e], 1);
        let stacked = |i: &[Tensor]| match fused_self_attention(&i[0], &rows, &rows.turns[0], heads)? {
            Some(z) => Ok(z),
            None => by_parts(&i[0]),
        };
        check(&format!("self-attention {heads:?}"), std::slice::from_ref(&qkv), stacked);
        let bits = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(bits(stacked(std::slice::from_ref(&qkv)).unwrap()), bits(by_parts(&qkv).unwrap()));
    }
}

#[test]
fn means_on_a_device_are_those_of_the_processor() {
    let (x, ranges) = (noise(&[50, 3, 4], 1), vec![0..1, 4..40, 42..50]);
    let rows = |x: &Tensor, means: &Means| means.of(x).unwrap().to_vec2::<f32>().unwrap();
    let processor = Means::new(ranges.clone(), &Device::Cpu).unwrap();
    let device = Means::summed(&ranges, &Device::Cpu).unwrap();
    let expected = rows(&x, &processor);
    near("means", &rows(&x, &device).concat(), &expected.concat());
    let first: Vec<f32> = x.get(0).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(expected[0], first);
    // One number that is not finite, in no range and then in the second.
    for (token, spoilt) in [(41, None), (20, Some(1))] {
        let mut values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values[token * 12] = f32::INFINITY;
        let x = Tensor::from_vec(values, x.shape(), &Device::Cpu).unwrap();
        for means in [&processor, &device] {
            let finite = |row: &Vec<f32>| row.iter().all(|x| x.is_finite());
            let found: Vec<bool> = rows(&x, means).iter().map(finite).collect();
            assert_eq!(found, [0, 1, 2].map(|row| Some(row) != spoilt), "token {token}");
        }
    }
}

/// Without a variable no graph is kept: inference pays nothing for gradients.
#[test]
fn no_graph_without_a_variable() {
    let (x, w) = (noise(&[5, 8], 1), noise(&[8], 2));
    let norm = |weight: &Tensor| {
        let weight = weight.clone();
        Norm { kind: Normalization::Rms, eps: 1e-5, weight, bias: None, late: false }.forward(&x).unwrap()
    };
    let y = act_mul_halves(Activation::Silu, &add(&norm(&w), &x).unwrap()).unwrap();
    let y = Linear::new(noise(&[3, 4], 3), Some(noise(&[3], 4))).forward(&y).unwrap();
    assert!(!y.track_op());
    let tracked = norm(Var::from_tensor(&w).unwrap().as_tensor());
    assert!(tracked.track_op());
}

/// The delta rule of one row and head by the book; `x` are its query, key, value, decay and β. `[n, _]`
fn plain_delta([q, k, v, g, beta]: [Tensor; 5]) -> Result<Tensor> {
    let (n, d_k) = q.dims2()?;
    let mut state = Tensor::zeros((d_k, v.dim(1)?), q.dtype(), q.device())?;
    let mut out = Vec::new();
    for i in 0..n {
        let at = |x: &Tensor| x.narrow(0, i, 1);
        state = state.broadcast_mul(&at(&g)?.exp()?)?;
        let delta = (at(&v)? - at(&k)?.matmul(&state)?)?.broadcast_mul(&at(&beta)?)?;
        state = (state + at(&k)?.t()?.matmul(&delta)?)?;
        out.push(at(&q)?.matmul(&state)?);
    }
    Tensor::cat(&out, 0)
}

#[test]
fn the_delta_rule_has_the_composed_gradients() {
    let lengths = [3, 9, 1];
    for (n_k_heads, n_v_heads, d_k, d_v) in [(1, 1, 2, 1), (2, 4, 3, 5), (1, 3, 16, 17)] {
        let sizes = DeltaSizes { n_k_heads, n_v_heads, d_k, d_v };
        let (rows, keys, h) = (batch(&lengths, 4), sizes.keys(), n_v_heads);
        let plain = |i: &[Tensor]| {
            let mut start = 0;
            let mut all = Vec::new();
            for n in lengths {
                let part = |x: &Tensor, column, width| x.narrow(0, start, n)?.narrow(1, column, width);
                let head = |head: usize| {
                    let key = head / (h / n_k_heads) * d_k;
                    plain_delta([
                        part(&i[0], key, d_k)?,
                        part(&i[0], keys + key, d_k)?,
                        part(&i[0], 2 * keys + head * d_v, d_v)?,
                        part(&i[1], head, 1)?,
                        part(&i[1], h + head, 1)?,
                    ])
                };
                all.push(Tensor::cat(&(0..h).map(head).collect::<Result<Vec<_>>>()?, 1)?);
                start += n;
            }
            Tensor::cat(&all, 0)
        };
        let inputs = [noise(&[13, 2 * keys + sizes.values()], 1), noise(&[13, 2 * h], 2)];
        check(&format!("delta {sizes:?}"), &inputs, |i| {
            if i[0].dtype() == DType::F64 {
                return plain(i);
            }
            delta(&i[0], &i[1], &rows, sizes, &mut None).map_err(candle_core::Error::wrap)
        });
    }
}

/// On the processor a device's way is taken in f64 alone, so that the kernels' f32 can be held against it.
#[test]
fn chunks_of_tokens_are_tokens_one_by_one() {
    for lengths in [vec![1], vec![2, 1], vec![150, 3, 64, 65], vec![40]] {
        let (rows, sizes) = (batch(&lengths, 4), DeltaSizes { n_k_heads: 2, n_v_heads: 4, d_k: 16, d_v: 5 });
        let t: usize = lengths.iter().sum();
        let keys = (noise(&[t, 2 * sizes.keys()], 1) * 0.4).unwrap();
        let qkv = Tensor::cat(&[keys, noise(&[t, sizes.values()], 3)], 1).unwrap();
        // Logarithms of decays between 0 and −1, β between 0 and 1.
        let sign: Vec<f32> = (0..8).map(|i| if i < 4 { -1.0 } else { 1.0 }).collect();
        let gates = noise(&[t, 8], 2)
            .abs()
            .unwrap()
            .broadcast_mul(&Tensor::new(sign, &Device::Cpu).unwrap())
            .unwrap();
        check(&format!("chunks {lengths:?}"), &[qkv, gates], |i| {
            delta(&i[0], &i[1], &rows, sizes, &mut None).map_err(candle_core::Error::wrap)
        });
        let inputs = [noise(&[t, 7], 5), noise(&[7, 4], 6)];
        check(&format!("convolution {lengths:?}"), &inputs, |i| {
            convolve(&i[0], &i[1], &rows, &mut None).map_err(candle_core::Error::wrap)
        });
    }
}

/// A text that says one thing over and over: powers of what lies below the diagonal would drown the rest.
#[test]
fn chunks_hold_where_keys_repeat() {
    let (rows, sizes) = (batch(&[130], 4), DeltaSizes { n_k_heads: 1, n_v_heads: 1, d_k: 4, d_v: 3 });
    let key = Tensor::new(&[[0.1_f32, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5, 0.5]], &Device::Cpu).unwrap();
    let key = key.broadcast_as((130, 8)).unwrap().contiguous().unwrap();
    let qkv = Tensor::cat(&[key, noise(&[130, 3], 3)], 1).unwrap();
    let gates = Tensor::new(&[[0.0_f32, 1.0]], &Device::Cpu).unwrap().broadcast_as((130, 2)).unwrap();
    let flat = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let chunked = super::delta::chunked::delta(&qkv, &gates, &rows, sizes, None).unwrap();
    let scanned = delta(&qkv, &gates, &rows, sizes, &mut None).unwrap();
    near("repeated keys", &flat(chunked), &flat(scanned));
}

#[test]
fn convolution_has_the_composed_gradients() {
    let lengths = [3, 9, 1];
    for (width, taps) in [(1, 1), (5, 4), (17, 3)] {
        let rows = batch(&lengths, 4);
        let plain = |i: &[Tensor]| {
            let mut start = 0;
            let mut all = Vec::new();
            for n in lengths {
                let zeros = Tensor::zeros((taps - 1, width), i[0].dtype(), &Device::Cpu)?;
                let x = Tensor::cat(&[zeros, i[0].narrow(0, start, n)?], 0)?;
                let tap = |tap: usize| x.narrow(0, tap, n)?.broadcast_mul(&i[1].narrow(1, tap, 1)?.t()?);
                let first = tap(0)?;
                all.push((1..taps).try_fold(first, |sum, next| sum + tap(next)?)?);
                start += n;
            }
            Tensor::cat(&all, 0)
        };
        let inputs = [noise(&[13, width], 1), noise(&[width, taps], 2)];
        check(&format!("convolution {width} {taps}"), &inputs, |i| {
            if i[0].dtype() == DType::F64 {
                return plain(i);
            }
            convolve(&i[0], &i[1], &rows, &mut None).map_err(candle_core::Error::wrap)
        });
    }
}
