# SPDX-License-Identifier: Apache-2.0
# Turns one file into a C array: cmake -DIN=file -DOUT=file.c -DNAME=symbol -P embed.cmake
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "// SPDX-License-Identifier: Apache-2.0\n#include \"gateway/pages.h\"\nconst unsigned char ${NAME}[] = {${bytes}0};\nconst unsigned long ${NAME}_len = sizeof ${NAME} - 1;\n")
