// NVIDIA's decoder library without a decoder: GStreamer's plugin for CUDA shows nothing of itself where this is missing.

#define API extern "C" __attribute__((visibility("default"))) int
#define WITHOUT(function) API function(void *, ...) { return 801; }
WITHOUT(cuvidCtxLockCreate)
WITHOUT(cuvidCtxLockDestroy)
WITHOUT(cuvidCtxLock)
WITHOUT(cuvidCtxUnlock)
WITHOUT(cuvidCreateDecoder)
WITHOUT(cuvidDestroyDecoder)
WITHOUT(cuvidDecodePicture)
WITHOUT(cuvidCreateVideoParser)
WITHOUT(cuvidParseVideoData)
WITHOUT(cuvidDestroyVideoParser)
WITHOUT(cuvidMapVideoFrame64)
WITHOUT(cuvidUnmapVideoFrame64)
WITHOUT(cuvidGetDecoderCaps)
