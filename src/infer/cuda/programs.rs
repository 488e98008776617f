//! Compiled kernels, kept by their content: the same source, compiler, options and architecture are compiled once on a machine.

use crate::frame::cuda::{Architecture, CudaError, Kernel, Nvrtc, OPTIONS};
use crate::store::{PlanKey, Plans};

/// The PTX of `kernel` for `architecture`: from `plans`, else compiled now and kept there.
pub fn program(kernel: &Kernel, architecture: Architecture, compiler: &Nvrtc, plans: &Plans) -> Result<String, CudaError> {
    let key = PlanKey::of_kernel(kernel.source, architecture.name(), &format!("NVRTC {}", compiler.version()), &OPTIONS.join(" "));
    if let Some(ptx) = plans.read(&key).and_then(|bytes| String::from_utf8(bytes).ok()) {
        return Ok(ptx);
    }
    let ptx = compiler.compile(kernel, architecture)?;
    if let Err(error) = plans.write(&key, ptx.as_bytes()) {
        tracing::warn!("the compiled kernel '{}' cannot be kept ({error}): it will be compiled anew at the next start", kernel.name);
    }
    Ok(ptx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::cuda::{KERNELS, PREPROCESS};

    #[test]
    fn every_kernel_compiles_for_every_architecture_without_a_gpu_and_is_kept() {
        let compiler = match Nvrtc::open() {
            Ok(compiler) => compiler,
            Err(error) => return println!("SKIPPED every_kernel_compiles_for_every_architecture_without_a_gpu_and_is_kept: {error}"),
        };
        let dir = tempfile::tempdir().unwrap();
        let plans = Plans::in_folder(dir.path().join("plans"));
        for kernel in KERNELS {
            for architecture in Architecture::ALL {
                let ptx = program(&kernel, architecture, &compiler, &plans).unwrap_or_else(|error| panic!("{error}"));
                assert!(ptx.contains(&format!(".target {}", architecture.target())), "{}: not for {architecture:?}", kernel.name);
                for entry in kernel.entries {
                    assert!(ptx.contains(&format!(".visible .entry {entry}(")), "{}: no {entry}", kernel.name);
                }
            }
        }
        let files = || std::fs::read_dir(dir.path().join("plans")).unwrap().count();
        assert_eq!(files(), KERNELS.len() * Architecture::ALL.len());

        // What is kept is what is given, until the source is another.
        let key = |source: &str| {
            PlanKey::of_kernel(source, Architecture::Compute90.name(), &format!("NVRTC {}", compiler.version()), &OPTIONS.join(" "))
        };
        plans.write(&key(PREPROCESS.source), b"kept").unwrap();
        assert_eq!(program(&PREPROCESS, Architecture::Compute90, &compiler, &plans).unwrap(), "kept");
        let other = Kernel { source: "extern \"C\" __global__ void preprocess() {}", ..PREPROCESS };
        assert!(program(&other, Architecture::Compute90, &compiler, &plans).unwrap().contains("preprocess"));
    }

    #[test]
    fn a_kernel_that_does_not_compile_is_an_error_with_the_compilers_words() {
        let compiler = match Nvrtc::open() {
            Ok(compiler) => compiler,
            Err(error) => return println!("SKIPPED a_kernel_that_does_not_compile_is_an_error_with_the_compilers_words: {error}"),
        };
        let bad = Kernel { source: "extern \"C\" __global__ void preprocess() { nonsense; }", ..PREPROCESS };
        let text = compiler.compile(&bad, Architecture::Compute90).unwrap_err().to_string();
        for part in ["'preprocess'", "compute_90", "nonsense", compiler.version(), "hw/install.sh cuda"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }
}
