//! What a model's name tells about its memory (llama.cpp, `llm_arch_is_recurrent`, `llm_arch_is_hybrid`).

/// What a model keeps of its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Keys and values: one cache, or two.
    Attention,
    /// A recurrent state.
    Recurrent,
    /// Both, or records of its own: cannot be walked without the model.
    Hybrid,
    /// Not known here.
    Unknown,
}

const RECURRENT: &[&str] = &["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"];

const HYBRID: &[&str] = &[
    "jamba",
    "falcon-h1",
    "plamo2",
    "granitehybrid",
    "lfm2",
    "lfm2moe",
    "nemotron_h",
    "nemotron_h_moe",
    "qwen3next",
    "kimi-linear",
    "kimi-k3",
    "bailingmoe3",
    "qwen35",
    "qwen35moe",
    "qwen4exp",
    "deepseek4",
    "minimax-01",
    "glm5next",
];

/// Names are only needed where the old layout of a cache and a recurrent state look the same.
const ATTENTION: &[&str] = &[
    "llama",
    "llama4",
    "deci",
    "falcon",
    "grok",
    "gpt2",
    "gptj",
    "gptneox",
    "mpt",
    "baichuan",
    "starcoder",
    "refact",
    "bloom",
    "stablelm",
    "qwen",
    "qwen2",
    "qwen2moe",
    "qwen2vl",
    "qwen3",
    "qwen3moe",
    "qwen3vl",
    "qwen3vlmoe",
    "phi2",
    "phi3",
    "phimoe",
    "plamo",
    "plamo3",
    "codeshell",
    "orion",
    "internlm2",
    "minicpm",
    "minicpm3",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3n",
    "gemma4",
    "starcoder2",
    "xverse",
    "command-r",
    "cohere2",
    "cohere2moe",
    "dbrx",
    "olmo",
    "olmo2",
    "olmoe",
    "openelm",
    "arctic",
    "deepseek",
    "deepseek2",
    "deepseek2-ocr",
    "deepseek32",
    "chatglm",
    "glm4",
    "glm4moe",
    "glm-dsa",
    "bitnet",
    "t5",
    "jais",
    "jais2",
    "nemotron",
    "exaone",
    "exaone4",
    "exaone-moe",
    "granite",
    "granitemoe",
    "chameleon",
    "plm",
    "bailingmoe",
    "bailingmoe2",
    "dots1",
    "arcee",
    "afmoe",
    "ernie4_5",
    "ernie4_5-moe",
    "hunyuan-moe",
    "hunyuan-dense",
    "hunyuan_vl",
    "smollm3",
    "gpt-oss",
    "dream",
    "smallthinker",
    "llada",
    "llada-moe",
    "seed_oss",
    "grovemoe",
    "apertus",
    "minimax-m2",
    "minimax-m3",
    "cogvlm",
    "rnd1",
    "pangu-embedded",
    "mistral3",
    "mistral4",
    "paddleocr",
    "mimo2",
    "step35",
];

/// The class of the model that is called `arch`.
pub(super) fn class(arch: &[u8]) -> Class {
    let among = |names: &[&str]| names.iter().any(|name| name.as_bytes() == arch);
    if among(RECURRENT) {
        Class::Recurrent
    } else if among(HYBRID) {
        Class::Hybrid
    } else if among(ATTENTION) {
        Class::Attention
    } else {
        Class::Unknown
    }
}

/// Whether `name` is spelled as names of models are.
pub(super) fn is_name(name: &[u8]) -> bool {
    let spelled = |&b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(spelled)
}

/// The longest name that is looked at; the longest known has 16 bytes.
pub(super) const MAX_NAME: usize = 64;
