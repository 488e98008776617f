use crate::base::error::ErrorKind;

#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    #[error("no Vulkan adapter was found ({reason}): install a Vulkan driver (Debian: mesa-vulkan-drivers) or use the host compositor")]
    NoVulkan { reason: String },
    #[error("the Vulkan device '{adapter}' cannot be used ({reason}): use the host compositor")]
    Device { adapter: String, reason: String },
    #[error(
        "the Vulkan device '{adapter}' takes pictures up to {limit} bytes a plane set and sides up to {side_limit}, not {width}×{height}: use the host compositor"
    )]
    TooLarge { adapter: String, width: usize, height: usize, limit: u64, side_limit: u32 },
    #[error("the picture could not be read back from the Vulkan device ({reason})")]
    ReadBack { reason: String },
    #[error("nothing was uploaded to the Vulkan device that could be drawn")]
    NothingUploaded,
    #[error("a buffer of {got} bytes cannot hold a picture of {needed}")]
    ShortBuffer { got: u64, needed: usize },
    #[error("{count} layers were given, at most {most} can be laid over a picture")]
    TooManyLayers { count: usize, most: usize },
    #[error("a layer or target of {got_width}×{got_height} does not fit a picture of {width}×{height}")]
    Size { got_width: usize, got_height: usize, width: usize, height: usize },
}

impl OverlayError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            OverlayError::NoVulkan { .. } | OverlayError::Device { .. } | OverlayError::TooLarge { .. } => ErrorKind::Degrade,
            OverlayError::ReadBack { .. } => ErrorKind::Retry,
            OverlayError::NothingUploaded
            | OverlayError::ShortBuffer { .. }
            | OverlayError::TooManyLayers { .. }
            | OverlayError::Size { .. } => ErrorKind::Bug,
        }
    }
}
