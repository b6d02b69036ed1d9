//! What both programs know: the data.

use keras::prelude::*;

/// Inputs `(64, 2)`, and targets `(64, 2)`: the first feature times 3, the second times −1.
pub fn data() -> Result<(HostTensor, HostTensor)> {
    let x: Vec<f32> = (0..128).map(|i| ((i * 37) % 29) as f32 / 14.0 - 1.0).collect();
    let y = x.chunks(2).flat_map(|pair| [3.0 * pair[0], -pair[1]]).collect();
    Ok((HostTensor::new([64, 2], x)?, HostTensor::new([64, 2], y)?))
}
