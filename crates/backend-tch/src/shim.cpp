// What libtorch has and tch does not: backward passes, and steps of optimizers in place.
//
// Every function returns nullptr, or the message of an exception, which `backend_tch_free` releases. Tensors that are given
// are borrowed; those in `out` belong to the caller. No gradient is recorded: the caller has switched that off.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <optional>

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/native_layer_norm_backward.h>

using at::IntArrayRef;
using at::Tensor;

namespace {

template <typename F>
char *guarded(F run) noexcept {
  try {
    run();
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}

// The first element of a tensor of this dtype in this machine's memory that `fits`; nullptr for all others.
template <typename F>
void *looked_at(const Tensor &x, int8_t dtype, F fits) noexcept {
  // What is empty may have no memory.
  static char nothing;
  void *data = nullptr;
  try {
    const bool here = x.layout() == at::kStrided && x.is_cpu() && x.scalar_type() == static_cast<at::ScalarType>(dtype);
    if (here && !x.is_neg() && fits(x)) data = x.numel() == 0 ? &nothing : x.data_ptr();
  } catch (...) {
    // It has no memory.
  }
  return data;
}

// Takes a share of the weights away.
void decayed(const Tensor &w, double share) {
  if (share != 0.0) {
    w.mul_(1.0 - share);
  }
}

}  // namespace

extern "C" {

void backend_tch_free(char *message) { std::free(message); }

int64_t backend_tch_threads() { return at::get_num_threads(); }

// Calls `job` once on each of so many of libtorch's threads.
char *backend_tch_run(int64_t threads, void (*job)(void *), void *context) {
  return guarded([&] {
    at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) job(context);
    });
  });
}

// Where the elements of `x` are, if they are of this dtype and in this machine's memory in one piece, and how many.
void *backend_tch_elements(const Tensor *x, int8_t dtype, int64_t *count) {
  return looked_at(*x, dtype, [&](const Tensor &x) {
    *count = x.numel();
    return x.is_contiguous();
  });
}

// The same of a tensor of this rank, however it lies: its dimensions, and their strides.
void *backend_tch_strided(const Tensor *x, int8_t dtype, int64_t rank, int64_t *sizes, int64_t *strides) {
  return looked_at(*x, dtype, [&](const Tensor &x) {
    if (x.dim() != rank) return false;
    std::copy_n(x.sizes().data(), rank, sizes);
    std::copy_n(x.strides().data(), rank, strides);
    return true;
  });
}

// A tensor over `data`, which `release` is called for when it is gone.
char *backend_tch_from_memory(Tensor **out, void *data, const int64_t *sizes, size_t rank, int8_t dtype,
                              void (*release)(void *), void *owner) {
  return guarded([&] {
    const auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype));
    *out = new Tensor(at::from_blob(data, IntArrayRef(sizes, rank), [=](void *) { release(owner); }, options));
  });
}

// `geometry` is four lists of `spatial` numbers: strides, padding, dilation, output padding.
char *backend_tch_convolution_backward(Tensor **out, const Tensor *g, const Tensor *x, const Tensor *weight,
                                       const int64_t *geometry, size_t spatial, bool transposed,
                                       int64_t groups, bool input) {
  return guarded([&] {
    auto list = [&](size_t i) { return IntArrayRef(geometry + i * spatial, spatial); };
    auto all = at::convolution_backward(*g, *x, *weight, at::OptionalIntArrayRef(), list(0), list(1), list(2),
                                        transposed, list(3), groups, {input, !input, false});
    *out = new Tensor(input ? std::get<0>(all) : std::get<1>(all));
  });
}

char *backend_tch_batch_norm_backward(Tensor **out, const Tensor *g, const Tensor *x, const Tensor *gamma,
                                      const Tensor *mean, const Tensor *rstd, double epsilon) {
  return guarded([&] {
    auto [dx, dgamma, dbeta] = at::native_batch_norm_backward(*g, *x, *gamma, std::nullopt, std::nullopt, *mean,
                                                              *rstd, true, epsilon, {true, true, true});
    out[0] = new Tensor(dx);
    out[1] = new Tensor(dgamma);
    out[2] = new Tensor(dbeta);
  });
}

char *backend_tch_layer_norm_backward(Tensor **out, const Tensor *g, const Tensor *x, const int64_t *last,
                                      size_t features, const Tensor *mean, const Tensor *rstd,
                                      const Tensor *gamma) {
  return guarded([&] {
    // The gradient of the shift does not depend on it, but libtorch gives it only where there is one.
    auto [dx, dgamma, dbeta] = at::native_layer_norm_backward(*g, *x, IntArrayRef(last, features), *mean, *rstd,
                                                              *gamma, *gamma, {true, true, true});
    out[0] = new Tensor(dx);
    out[1] = new Tensor(dgamma);
    out[2] = new Tensor(dbeta);
  });
}

char *backend_tch_sgd(const Tensor *w, const Tensor *g, const Tensor *m, double learning_rate, double momentum,
                      bool nesterov, double decay) {
  return guarded([&] {
    decayed(*w, decay);
    if (m == nullptr) {
      w->add_(*g, -learning_rate);
      return;
    }
    m->mul_(momentum).add_(*g, -learning_rate);
    if (nesterov) {
      w->add_(*m, momentum).add_(*g, -learning_rate);
    } else {
      w->add_(*m);
    }
  });
}

// Steps ask for all their memory first: where there is none, nothing has changed yet.
char *backend_tch_adam(const Tensor *w, const Tensor *g, const Tensor *m, const Tensor *v, const Tensor *largest,
                       double alpha, double beta_1, double beta_2, double epsilon, double decay) {
  return guarded([&] {
    const std::vector<Tensor> all_largest = largest == nullptr ? std::vector<Tensor>() : std::vector<Tensor>{*largest};
    if (w->is_contiguous() && m->is_contiguous() && v->is_contiguous() &&
        (largest == nullptr || largest->is_contiguous())) {
      // One pass over memory. Without end, the steps no longer correct the moments: that is in `alpha`.
      const Tensor step = at::full({}, std::numeric_limits<double>::infinity(), w->options().dtype(at::kFloat));
      const Tensor gradient = g->contiguous();
      decayed(*w, decay);
      at::_fused_adam_({*w}, {gradient}, {*m}, {*v}, all_largest, {step}, alpha, beta_1, beta_2, 0.0, epsilon,
                       largest != nullptr, false);
      return;
    }
    Tensor root = at::empty_like(*v);
    decayed(*w, decay);
    m->lerp_(*g, 1.0 - beta_1);
    v->mul_(beta_2).addcmul_(*g, *g, 1.0 - beta_2);
    if (largest != nullptr) {
      Tensor out = *largest;
      at::maximum_out(out, *largest, *v);
    }
    w->addcdiv_(*m, root.copy_(largest == nullptr ? *v : *largest).sqrt_().add_(epsilon), -alpha);
  });
}

char *backend_tch_rms_prop(const Tensor *w, const Tensor *g, const Tensor *v, const Tensor *last, const Tensor *average,
                           double learning_rate, double rho, double momentum, double epsilon, double decay) {
  return guarded([&] {
    Tensor root = at::empty_like(*v);
    decayed(*w, decay);
    v->mul_(rho).addcmul_(*g, *g, 1.0 - rho);
    root.copy_(*v).add_(epsilon);
    if (average != nullptr) {
      average->mul_(rho).add_(*g, 1.0 - rho);
      root.addcmul_(*average, *average, -1.0);
    }
    root.sqrt_();
    if (last == nullptr) {
      w->addcdiv_(*g, root, -learning_rate);
    } else {
      w->sub_(last->mul_(momentum).addcdiv_(*g, root, learning_rate));
    }
  });
}
}
