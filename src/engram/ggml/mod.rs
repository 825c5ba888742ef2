//! Element types of ggml tensors: sizes and dequantising.
