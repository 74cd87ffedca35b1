// oneDNN's LRN, forward and backward, on a channels-last tensor, for Python's
// ctypes. Works with versions 2 and 3, which describe primitives differently.
#include <cstdint>
#include <cstdio>
#include <memory>

#include "dnnl.hpp"

namespace {

using dnnl::memory;

struct Layer {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  memory::desc tensor;
  dnnl::primitive primitive;
  memory workspace;
  bool backward = false;
};

dnnl::lrn_forward::primitive_desc Forward(const Layer& layer, int64_t size,
                                          float alpha, float beta, float k) {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto algorithm = dnnl::algorithm::lrn_across_channels;
#if DNNL_VERSION_MAJOR >= 3
  return {layer.engine, kind, algorithm, layer.tensor, layer.tensor, size,
          alpha,        beta, k};
#else
  return {{kind, algorithm, layer.tensor, size, alpha, beta, k}, layer.engine};
#endif
}

dnnl::lrn_backward::primitive_desc Backward(
    const Layer& layer, int64_t size, float alpha, float beta, float k,
    const dnnl::lrn_forward::primitive_desc& forward) {
  const auto algorithm = dnnl::algorithm::lrn_across_channels;
#if DNNL_VERSION_MAJOR >= 3
  return {layer.engine, algorithm,    layer.tensor,
          layer.tensor, layer.tensor, size,
          alpha,        beta,         k,
          forward};
#else
  return {{algorithm, layer.tensor, layer.tensor, size, alpha, beta, k},
          layer.engine,
          forward};
#endif
}

}  // namespace

// The version, as 30600 for 3.6.0.
extern "C" int tflrn_onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return v->major * 10000 + v->minor * 100 + v->patch;
}

// A layer for tensors [batch, height, width, channels]; null, with a message in
// `error`, if oneDNN has none. type: 0 float, 1 half, 2 bfloat16. A backward
// layer needs the workspace of a forward pass, which is computed here from x.
extern "C" void* tflrn_onednn_layer(int backward, int type,
                                    const int64_t* shape, int64_t radius,
                                    float bias, float alpha, float beta,
                                    void* x, char* error, size_t error_size) {
  try {
    auto layer = std::make_unique<Layer>();
    const memory::data_type types[] = {memory::data_type::f32,
                                       memory::data_type::f16,
                                       memory::data_type::bf16};
    layer->tensor = memory::desc({shape[0], shape[3], shape[1], shape[2]},
                                 types[type], memory::format_tag::nhwc);
    // oneDNN divides alpha by the size of the window.
    const int64_t size = 2 * radius + 1;
    alpha *= static_cast<float>(size);
    const auto forward = Forward(*layer, size, alpha, beta, bias);
    layer->workspace = memory(forward.workspace_desc(), layer->engine);
    layer->backward = backward != 0;
    layer->primitive = dnnl::lrn_forward(forward);
    if (backward) {
      const memory source(layer->tensor, layer->engine, x);
      const memory result(layer->tensor, layer->engine);
      layer->primitive.execute(layer->stream,
                               {{DNNL_ARG_SRC, source},
                                {DNNL_ARG_DST, result},
                                {DNNL_ARG_WORKSPACE, layer->workspace}});
      layer->stream.wait();
      layer->primitive = dnnl::lrn_backward(
          Backward(*layer, size, alpha, beta, bias, forward));
    }
    return layer.release();
  } catch (const dnnl::error& e) {
    snprintf(error, error_size, "%s", e.message);
    return nullptr;
  }
}

// Computes y from x, or dx from dy and x. Returns 0, or 1 if that failed.
extern "C" int tflrn_onednn_run(void* handle, void* dy, void* x, void* out) {
  Layer& layer = *static_cast<Layer*>(handle);
  try {
    const memory source(layer.tensor, layer.engine, x);
    const memory target(layer.tensor, layer.engine, out);
    if (layer.backward) {
      const memory gradient(layer.tensor, layer.engine, dy);
      layer.primitive.execute(layer.stream,
                              {{DNNL_ARG_SRC, source},
                               {DNNL_ARG_DIFF_DST, gradient},
                               {DNNL_ARG_DIFF_SRC, target},
                               {DNNL_ARG_WORKSPACE, layer.workspace}});
    } else {
      layer.primitive.execute(layer.stream,
                              {{DNNL_ARG_SRC, source},
                               {DNNL_ARG_DST, target},
                               {DNNL_ARG_WORKSPACE, layer.workspace}});
    }
    layer.stream.wait();
  } catch (const dnnl::error&) {
    return 1;
  }
  return 0;
}

extern "C" void tflrn_onednn_free(void* handle) {
  delete static_cast<Layer*>(handle);
}
