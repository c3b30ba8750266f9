"""Build the open hand: a right hand in MANO's format, made from MakeHuman's CC0 data alone.

Read in this order: `layout` (the format), `assets` and `arm` (the source files), `identity` (body
proportions), `straighten` (flat pose in MANO's frame), `cut`, `nails`, `collapse` and `numbering`
(778 vertices), `shape`, `skinning`, `posedirs`, `pose` (the model's arrays), `build` (all of it).
"""
