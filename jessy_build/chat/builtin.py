"""Chat templates that a recipe can name, for bases that bring none or a hindering one."""

from collections.abc import Mapping
from types import MappingProxyType

CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# Gemma has no system role: what the system says opens the first user turn.
GEMMA = """\
{{- bos_token }}
{%- set system = '' %}
{%- set turns = messages %}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set turns = messages[1:] %}
    {%- if messages[0]['content'] %}
        {%- set system = messages[0]['content'] + '\\n\\n' %}
    {%- endif %}
{%- endif %}
{%- for message in turns %}
    {%- if message['role'] == 'assistant' %}
        {{- '<start_of_turn>model\\n' }}
    {%- else %}
        {{- '<start_of_turn>user\\n' }}
        {%- if loop.first %}
            {{- system }}
        {%- endif %}
    {%- endif %}
    {{- message['content'] + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\\n' }}
{%- endif %}
"""

LLAMA3 = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

BUILTIN: Mapping[str, str] = MappingProxyType({"chatml": CHATML, "gemma": GEMMA, "llama3": LLAMA3})
"""Templates a recipe can name. None adds a system message of its own."""
