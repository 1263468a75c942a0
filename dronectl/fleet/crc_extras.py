# SPDX-License-Identifier: AGPL-3.0-or-later
"""The byte that goes into the checksum of each MAVLink message, after its payload: a digest of the message's layout.

Of the `common` dialect with what it includes (message definitions of mavlink.io, `common.xml`, `standard.xml` and
`minimal.xml` of July 2026, by the rule in "Message Serialization", CRC_EXTRA), and only ids below 256 that are not
marked as work in progress. None of these has changed since March 2017, whereas more than twenty above have: a newer or
older autopilot must not be refused for another layout of a message.
"""

from __future__ import annotations

from typing import Final

# Sixteen ids in a row, from 0; 0 where the dialect has no such message
_TABLE: Final = """
 50 124 137   0 237 217 104 119   0   0   0  89   0   0   0   0
  0   0   0   0 214 159 220 168  24  23 170 144  67 115  39 246
185 104 237 244 222 212   9 254 230  28  28 132 221 232  11 153
 41  39  78 196   0   0  15   3   0   0   0   0   0 167 183 119
191 118 148  21   0 243 124   0   0  38  20 158 152 143   0   0
  0 106  49  22 143 140   5 150   0 231 183  63  54  47   0   0
  0   0   0   0 175 102 158 208  56  93 138 108  32 185  84  34
174 124 237   4  76 128  56 116 134 237 203 250  87 203 220  25
226  46  29 223  85   6 229 203   1 195 109 168 181  47  72 131
127   0 103 154 178 200   0   0   0   0   0   0   0   0   0   0
  0   0 189   0   0   0   0   0   0   0   0   0   0   0   0   0
  0   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
 36   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
  0   0   0   0   0   0   0   0   0   0   0   0   0   0   0   0
  0 208   0   0   0   0 163 105 151  35 150 179   0   0   0   0
  0  90 104  85  95 130 184  81   8 204  49 170  44  83  46   0
"""

CRC_EXTRAS: Final = bytes(map(int, _TABLE.split()))
