# Builds a layer of third-party packages: installs a dependency group of the root's lock file from wheels for Lambda's
# platform (either architecture, without Docker or a compiler), removes files that no function needs, and notes the
# architecture, which readmission.architecture compares with that of the function.
#
# Included by layers/*/Makefile, which `sam build` runs in a copy of their folder, with ARTIFACTS_DIR set. They set HERE to
# their own folder, with a question mark for each space.

ARCHITECTURE ?= x86_64
ROOT := $(subst ?, ,$(HERE))../..
PLATFORM := $(subst arm64,aarch64,$(ARCHITECTURE))-manylinux_2_28
SITE = $(ARTIFACTS_DIR)/python

# $(call install,GROUP[,PACKAGE …]): installs the group's packages except those named.
define install
	uv export --quiet --project "$(ROOT)" --frozen --only-group $(1) --no-emit-project \
	    $(addprefix --no-emit-package ,$(2)) --output-file requirements.txt > /dev/null
	uv pip install --quiet --requirements requirements.txt --no-deps --only-binary :all: \
	    --target "$(SITE)" --python-version 3.13 --python-platform $(PLATFORM) --link-mode copy
	find "$(SITE)" -depth -type d \( -name tests -o -name test -o -name bin -o -name __pycache__ \) -exec rm -rf {} +
	find "$(SITE)" -type f \( -name '*.pyi' -o -name '*.h' -o -name '*.hpp' -o -name '*.pxd' -o -name '*.pyx' \
	    -o -name '*.c' -o -name '*.cpp' -o -name '*.a' -o -name '*.tp' -o -name .lock \) -delete
	printf '%s\n' "$(ARCHITECTURE)" > "$(SITE)/readmission-built-for"
endef

# What the layer is built for. `readmission.architecture` compares it with the function's.
define mark
	printf '%s\n' "$(ARCHITECTURE)" > "$(SITE)/readmission-built-for"
endef

# Compiled modules import two to four times as fast. Lambda cannot compile them: /opt is read-only.
define compile
	python3.13 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$(SITE)"
endef

# The same without the sources, for which there is no room beside them.
define compile_without_sources
	python3.13 -m compileall -q -j 0 -b "$(SITE)"
	find "$(SITE)" -name '*.py' -exec sh -c 'for file; do [ ! -e "$${file}c" ] || rm "$$file"; done' _ {} +
endef
