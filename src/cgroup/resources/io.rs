//! Block I/O: weights and throttles.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::super::Error;
use super::super::files::Dir;
use super::{Target, Tree, Wish, refused};

/// A list of the specification, its v1 file and its key in v2's `io.max`.
type Throttle<'a> =
    (&'static str, &'a Option<Vec<LinuxThrottleDevice>>, &'static str, &'static str);

pub(super) fn apply(target: &Target<'_>, io: &LinuxBlockIo) -> Result<(), Error> {
    let throttles: [Throttle<'_>; 4] = [
        ("blockIO.throttleReadBpsDevice", io.throttle_read_bps_device(), "read_bps", "rbps"),
        ("blockIO.throttleWriteBpsDevice", io.throttle_write_bps_device(), "write_bps", "wbps"),
        ("blockIO.throttleReadIOPSDevice", io.throttle_read_iops_device(), "read_iops", "riops"),
        ("blockIO.throttleWriteIOPSDevice", io.throttle_write_iops_device(), "write_iops", "wiops"),
    ];
    weights(target, io)?;
    for (field, list, v1, v2) in throttles {
        for entry in list.iter().flatten() {
            let device = format!("{}:{}", entry.major(), entry.minor());
            let value = format!("{device} {}", entry.rate());
            match target.tree("blkio", Some("io"), Wish { field, value: &value })? {
                // A rate of zero takes the limit away.
                Tree::V1(dir) => target.write(dir, format!("blkio.throttle.{v1}_device"), value)?,
                Tree::V2(dir) => {
                    let rate = match entry.rate() {
                        0 => "max".to_owned(),
                        rate => rate.to_string(),
                    };
                    target.write(dir, "io.max", format!("{device} {v2}={rate}"))?;
                }
            }
        }
    }
    Ok(())
}

fn weights(target: &Target<'_>, io: &LinuxBlockIo) -> Result<(), Error> {
    let weight = io.weight().filter(|weight| *weight != 0);
    if let Some(weight) = weight {
        let value = weight.to_string();
        let wish = Wish { field: "blockIO.weight", value: &value };
        set(target, wish, weight, None)?;
    }
    if let Some(weight) = io.leaf_weight().filter(|weight| *weight != 0) {
        let value = weight.to_string();
        leaf(target, Wish { field: "blockIO.leafWeight", value: &value }, "blkio.leaf_weight")?;
    }
    for entry in io.weight_device().iter().flatten() {
        let device = format!("{}:{}", entry.major(), entry.minor());
        if let Some(weight) = entry.weight().filter(|weight| *weight != 0) {
            let value = format!("{device} {weight}");
            let wish = Wish { field: "blockIO.weightDevice", value: &value };
            set(target, wish, weight, Some(&device))?;
        }
        if let Some(weight) = entry.leaf_weight().filter(|weight| *weight != 0) {
            let value = format!("{device} {weight}");
            let wish = Wish { field: "blockIO.weightDevice", value: &value };
            leaf(target, wish, "blkio.leaf_weight_device")?;
        }
    }
    Ok(())
}

/// Sets the weight of the cgroup, or its weight on one device.
fn set(
    target: &Target<'_>,
    wish: Wish<'_>,
    weight: u16,
    device: Option<&str>,
) -> Result<(), Error> {
    let without = |what: &str| {
        Err(refused(
            wish.field,
            wish.value,
            format!("no I/O scheduler here has weights: {what} is missing"),
        ))
    };
    match target.tree("blkio", Some("io"), wish)? {
        Tree::V1(dir) => {
            let kinds = match device {
                None => ["blkio.weight", "blkio.bfq.weight"],
                Some(_) => ["blkio.weight_device", "blkio.bfq.weight_device"],
            };
            match kinds.into_iter().find(|file| dir.has(file)) {
                Some(file) => target.write(dir, file, wish.value),
                None => without(kinds[1]),
            }
        }
        Tree::V2(dir)
            if dir.has("io.bfq.weight") && (device.is_none() || bfq_knows_devices(dir)?) =>
        {
            target.write(dir, "io.bfq.weight", wish.value)
        }
        Tree::V2(dir) => {
            let converted = io_weight(weight);
            let value = match device {
                Some(device) => format!("{device} {converted}"),
                None => converted.to_string(),
            };
            match target.write_if_there(dir, "io.weight", value)? {
                true => Ok(()),
                false => without("io.weight"),
            }
        }
    }
}

/// From Linux 5.4 on the file has a line for each device, and this one first.
fn bfq_knows_devices(dir: &Dir) -> Result<bool, Error> {
    Ok(dir.read("io.bfq.weight")?.starts_with("default"))
}

/// Leaf weights ended with the scheduler that knew them.
fn leaf(target: &Target<'_>, wish: Wish<'_>, file: &'static str) -> Result<(), Error> {
    let written = match target.tree("blkio", Some("io"), wish)? {
        Tree::V1(dir) => target.write_if_there(dir, file, wish.value)?,
        Tree::V2(_) => false,
    };
    match written {
        true => Ok(()),
        false => Err(refused(wish.field, wish.value, format!("this kernel has no {file}"))),
    }
}

/// A weight of v1 (10 to 1000) on the scale of v2 (1 to 10000), by a straight line, as runc does.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).max(10) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_keep_their_ends() {
        assert_eq!([1, 10, 500, 1000].map(io_weight), [1, 1, 4950, 10_000]);
    }
}
