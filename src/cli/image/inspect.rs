//! `hotcell image inspect`: all that is known about images.

use serde_json::{Value, json};

use super::args::InspectArgs;
use super::list::object;
use super::{listed, open};
use crate::cli::{Failure, print};
use crate::image::store::{Image, Store};

/// Prints an array, whatever the number of images. One that isn't there fails it as a whole.
pub(super) fn inspect(args: &InspectArgs) -> Result<u8, Failure> {
    let store = open(&args.store)?;
    let one = |name: &String| whole(&store, name);
    let all = args.images.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    print(&format!("{:#}\n", Value::from(all)))?;
    Ok(0)
}

/// What `images` says, and what the configuration and the store say. docs/images.md has the fields.
fn whole(store: &Store, name: &str) -> Result<Value, Failure> {
    let image: Image = store.find(name)?;
    let config = image.config();
    let mut value = object(&listed(&image)?);
    let layers: Vec<_> = config
        .diff_ids
        .iter()
        .zip(image.blobs())
        .map(|(diff_id, (blob, bytes))| {
            json!({
                "diff_id": diff_id.to_string(),
                "blob": blob.to_string(),
                "blob_bytes": bytes,
            })
        })
        .collect();
    let lowers = image.lowers();
    value["layers"] = Value::from(layers);
    value["manifest"] = image.manifest().to_string().into();
    value["os"] = config.platform.os.as_str().into();
    value["architecture"] = config.platform.architecture.as_str().into();
    value["variant"] = Some(&config.platform.variant).filter(|it| !it.is_empty()).cloned().into();
    value["config"] = json!({
        "env": config.env,
        "entrypoint": config.entrypoint,
        "cmd": config.cmd,
        "user": config.user,
        "working_dir": config.working_dir,
        "stop_signal": config.stop_signal,
        "volumes": config.volumes,
        "exposed_ports": config.exposed_ports,
        "labels": config.labels,
    });
    value["lowers"] = json!({ "dir": lowers.dir, "names": lowers.names });
    Ok(value)
}
