use super::Kind;
use crate::base::library::listed;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum TensorRtError {
    #[error("{kind} is not installed: no {library} in {}; {}, or set {} to its folder", listed(.searched), .kind.remedy(), .kind.variable())]
    Missing { kind: Kind, library: &'static str, searched: Vec<PathBuf> },
    #[error("{kind} '{}' cannot be used: {reason}; {}", .library.display(), .kind.remedy())]
    Bad { kind: Kind, library: PathBuf, reason: String },
    #[error("this binary was built without the headers of {kind}: run `hw/install.sh`, then build keyhole anew")]
    WithoutHeaders { kind: Kind },
    #[error(
        "{kind} makes plans on the GPU that will run them: {reason}; build on that machine, or with --backend tensorrt-rtx, which needs no GPU"
    )]
    NoDevice { kind: Kind, reason: String },
    #[error(
        "engine '{engine}': {library} makes no plan of its model ({reason}); run with -v for its own words, or build it with --backend cpu"
    )]
    NotBuilt { engine: String, library: String, reason: String },
    #[error("{library} does not load the plan on {device} ({reason}); build it anew on this machine")]
    NotLoaded { library: String, device: String, reason: String },
    #[error(
        "engine '{engine}': {library} has made no plan of it for {device}; make it with `keyhole engine build {} --backend tensorrt`", .dir.display()
    )]
    NoPlan { engine: String, library: String, device: String, dir: PathBuf },
    #[error(
        "engine '{engine}': {library} does not run its plan on {device}: {reasons}; make it anew there with `keyhole engine build {} --backend tensorrt`, or use `--backend cuda`", .dir.display()
    )]
    Refused { engine: String, library: String, device: String, reasons: String, dir: PathBuf },
    #[error("engine '{engine}': stopped before its plan was whole, nothing of it is kept; build it again")]
    Stopped { engine: String },
}
