"""The official arithmetic of Sa2VA once more, apart from the plugin: an oracle of any precision.

Written from a description of the architecture, in plain torch, directly on the official key names; it shares no code
with the plugin and uses no module of transformers or peft. It is first held to a fixture that the official code made in
float32; then it says, in float64, what the plugin's numbers must be.

Attention is eager (matrix product, softmax, matrix product) in InternViT and Qwen2 and torch's fused one in SAM 2,
as in the official code.
"""
