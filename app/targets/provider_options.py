"""What a user may set of an execution provider that runs on a worker.

Some options name files to be read or written, libraries to be loaded, or addresses in the process's memory:
`trt_extra_plugin_lib_paths`, `backend_path`, `user_compute_stream`. On a worker these would be a stranger's way in, and
versions of onnxruntime add more, so those that say how to compute are listed, rather than those that do not.
"""

from collections.abc import Iterable

_HOW_TO_COMPUTE: dict[str, tuple[str, ...]] = {
    "CUDA": (
        *(
            "arena_extend_strategy",
            "cudnn_conv1d_pad_to_nc1d",
            "cudnn_conv_algo_search",
            "cudnn_conv_use_max_workspace",
        ),
        *("device_id", "do_copy_in_default_stream", "enable_cuda_graph", "enable_skip_layer_norm_strict_mode"),
        *("fuse_conv_bias", "gpu_mem_limit", "prefer_nhwc", "sdpa_kernel", "tunable_op_enable"),
        *("tunable_op_max_tuning_duration_ms", "tunable_op_tuning_enable", "use_ep_level_unified_stream", "use_tf32"),
    ),
    "TensorRT": (
        *("trt_auxiliary_streams", "trt_bf16_enable", "trt_build_heuristics_enable", "trt_builder_optimization_level"),
        *("trt_context_memory_sharing_enable", "trt_cuda_graph_enable", "trt_dla_core", "trt_dla_enable"),
        *("trt_force_sequential_engine_build", "trt_fp16_enable", "trt_layer_norm_fp32_fallback"),
        *("trt_max_partition_iterations", "trt_max_workspace_size", "trt_min_subgraph_size", "trt_sparsity_enable"),
    ),
    "OpenVINO": (
        *("device_type", "disable_dynamic_shapes", "enable_opencl_throttling", "enable_qdq_optimizer"),
        *("model_priority", "num_of_threads", "num_streams", "precision"),
    ),
    "CoreML": (
        *("AllowLowPrecisionAccumulationOnGPU", "EnableOnSubgraphs", "MLComputeUnits", "ModelFormat"),
        *("RequireStaticInputShapes", "SpecializationStrategy"),
    ),
    "QNN": (
        *("backend_type", "enable_htp_fp16_precision", "enable_htp_shared_memory_allocator", "htp_arch"),
        *("htp_graph_finalization_optimization_mode", "htp_performance_mode", "offload_graph_io_quantization"),
        *("qnn_context_priority", "rpc_control_latency", "soc_model", "vtcm_mb"),
    ),
    "DirectML": ("device_filter", "disable_metacommands", "performance_preference"),
    "MIGraphX": ("migraphx_exhaustive_tune", "migraphx_fp16_enable", "migraphx_fp8_enable", "migraphx_int8_enable"),
    "XNNPACK": ("intra_op_num_threads",),
    "ACL": ("enable_fast_math",),
}
_LISTED = frozenset(name for names in _HOW_TO_COMPUTE.values() for name in names)


def not_for_users(names: Iterable[str]) -> list[str]:
    """Those that are nobody's to set over HTTP. Whether a provider has the others it says itself."""
    return sorted(set(names) - _LISTED)
