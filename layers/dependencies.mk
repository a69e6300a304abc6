# How a layer of third-party packages is built: a dependency group of the root's lock file, installed from wheels for
# Lambda's platform (no Docker, no compiler, either architecture), less what no function needs.
#
# Included by layers/*/Makefile, which `sam build` runs with ARTIFACTS_DIR set, in a copy of their folder.

ARCHITECTURE ?= x86_64
ROOT := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
PLATFORM := $(subst arm64,aarch64,$(ARCHITECTURE))-manylinux_2_28
SITE = $(ARTIFACTS_DIR)/python

# $(call install,GROUP[,PACKAGE …]): the group's packages, less those named.
define install
	uv export --quiet --project "$(ROOT)" --frozen --only-group $(1) --no-emit-project \
	    $(addprefix --no-emit-package ,$(2)) --output-file requirements.txt > /dev/null
	uv pip install --quiet --requirements requirements.txt --no-deps --only-binary :all: \
	    --target "$(SITE)" --python-version 3.13 --python-platform $(PLATFORM) --link-mode copy
	find "$(SITE)" -depth -type d \( -name tests -o -name test -o -name bin -o -name __pycache__ \) -exec rm -rf {} +
	find "$(SITE)" -type f \( -name '*.pyi' -o -name '*.h' -o -name '*.hpp' -o -name '*.pxd' -o -name '*.pyx' \
	    -o -name '*.c' -o -name '*.cpp' -o -name '*.a' -o -name '*.tp' -o -name .lock \) -delete
endef

# Compiled modules import two to four times as fast, and /opt cannot be written to.
define compile
	python3.13 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$(SITE)"
endef
