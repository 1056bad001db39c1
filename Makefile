# SPDX-License-Identifier: Apache-2.0
# Everything is built below build/.  `make help` lists the targets.
VERSION := 0.1.0
PREFIX ?= /usr/local
BUILD ?= build
CC ?= cc
CLANG ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool),/usr/sbin/bpftool)
CONFIG ?= config/demo.yaml
FUZZ_SECONDS ?= 60
Q := $(if $(V),,@)

ifdef SAN
BUILD := build/san
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all
else
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong
endif

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
	-Wundef -Wpointer-arith -Wwrite-strings $(if $(WERROR),-Werror)
CPPFLAGS := -D_GNU_SOURCE -I. -Iuser -Iproxy -Inft -I$(BUILD)
CFLAGS := -std=gnu17 -O2 -g $(WARN) -fPIE $(HARDEN) $(SANFLAGS)
LDFLAGS := -pie -Wl,-z,relro,-z,now $(SANFLAGS)

# clang needs to be told where <asm/types.h> is when it compiles for bpf
BPF_SYS := $(shell $(CLANG) -v -E - </dev/null 2>&1 | \
	sed -n '/<...> search starts here:/,/End of search list/{s|^ \(/.*\)|-idirafter \1|p}')
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Wno-unused-parameter \
	$(if $(WERROR),-Werror) -I. -Ibpf $(BPF_SYS)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
BASE := $(wildcard user/base/*.c)
# what finds and mends the hooks of a load, in every program that lives
KEEP := user/keep.c user/repair.c user/attach.c user/adopt.c user/pins.c user/book/hooks.c user/book/boundary.c \
	user/book/cgroups.c user/book/name_ids.c user/book/dump.c user/book/pin.c $(wildcard nft/*.c)
READER := $(filter-out $(addprefix user/book/,writer.c places.c name_ids.c fold.c cgroups.c),$(wildcard user/book/*.c)) $(wildcard nft/*.c)
WRITER := user/book/writer.c user/book/places.c user/book/counts.c user/book/name_ids.c user/book/fold.c user/book/dump.c \
	user/book/proxy_ring.c user/book/explain.c
ROUTING := $(wildcard proxy/config*.c) proxy/route.c proxy/pattern.c proxy/hello.c proxy/balance.c proxy/target.c
TOLLGATE := user/tollgate.c user/options.c user/load.c user/load_upgrade.c user/sizes.c user/totals.c user/load_totals.c user/programs.c user/follow.c user/why.c user/check.c user/status.c user/offenders.c user/flows.c $(ROUTING)
EXPORTER := user/exporter.c user/http.c user/pages.c user/events.c user/event_json.c user/sse.c $(wildcard user/metrics*.c) user/continuity.c user/offenders.c user/flows.c
PROXY := $(wildcard proxy/*.c)
RELAY := proxy/relay.c proxy/outbox.c
CODECS := proxy/pp.c proxy/limiter.c proxy/ja4.c proxy/digest.c $(ROUTING)

PROGRAMS := $(BUILD)/tollgate $(BUILD)/tollgate-proxy $(BUILD)/tollgate-exporter
TOOLS := $(BUILD)/tests/proxy-protocol/conform $(addprefix $(BUILD)/tests/tools/,peer lives storm hold frames hello load steal segments tricks attach hostile) $(BUILD)/tests/tools/moment.so $(addprefix $(BUILD)/tests/bpf/,lossy.bpf.o foreign.bpf.o)
UNITS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*_test.c))
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all run check unit bpf-test bats lint fuzz kernels bench install uninstall clean help deps check-deps

all: $(PROGRAMS)

$(BUILD)/tollgate: $(call obj,$(sort $(TOLLGATE) $(READER) $(KEEP) $(BASE)))
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lbpf -lnftnl -lmnl -ljansson -lcap -lcyaml -lyaml -lpcre2-8 -lm -lcurl

$(BUILD)/tollgate-exporter: $(call obj,$(sort $(EXPORTER) $(READER) $(KEEP) $(BASE)))
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lbpf -lnftnl -lmnl -ljansson -lcap -lmicrohttpd -lz -lpthread

$(BUILD)/tollgate-proxy: $(call obj,$(sort $(PROXY) $(WRITER) $(KEEP) $(BASE)))
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lbpf -lnftnl -lmnl -lcap -lcyaml -lyaml -lpcre2-8 -lcrypto -lm -lcares -luring -lpthread

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# the one file that includes the skeleton
$(BUILD)/user/programs.o: $(BUILD)/tollgate.skel.h

$(BUILD)/%.bpf.o: %.bpf.c
	@mkdir -p $(@D)
	@echo "  BPF     $<"
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tollgate.bpf.o: $(patsubst %.c,$(BUILD)/%.o,$(wildcard bpf/*.bpf.c))
	@echo "  BPFLINK $@"
	$(Q)$(BPFTOOL) gen object $@ $^

$(BUILD)/tollgate.skel.h: $(BUILD)/tollgate.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name tollgate_bpf >$@

-include $(shell find build -path build/tools -prune -o -name '*.d' -print 2>/dev/null)

# --- set-up ---------------------------------------------------------------------------

deps:
	$(Q)tests/setup.sh build

check-deps:
	$(Q)tests/setup.sh build check

# sub-makes, because only after deps do the tools exist that the rest asks for
run: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(BUILD) CONFIG=$(CONFIG) $(RUN_IN) config/run.sh

# --- tests ----------------------------------------------------------------------------

check: check-deps
	$(Q)$(MAKE) --no-print-directory WERROR=1 all $(TOOLS)
	$(Q)BUILD=$(BUILD) MAKE="$(MAKE)" tests/check.sh

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(call obj,$(CODECS) $(RELAY) user/book/proxy_ring.c user/book/pin.c user/book/counts.c $(BASE))
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lbpf -lmnl -lcap -lcyaml -lyaml -lpcre2-8 -lcrypto -luring -lm

$(BUILD)/tests/tools/peer: $(call obj,tests/tools/peer.c proxy/pp.c user/base/addr.c \
		user/base/util.c)
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lpthread

$(addprefix $(BUILD)/tests/tools/,lives storm hold frames hello load steal segments tricks hostile): $(BUILD)/tests/tools/%: \
		$(BUILD)/tests/tools/%.o $(call obj,user/base/addr.c user/base/util.c)
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

# preloaded into the program under test
$(BUILD)/tests/tools/moment.so: tests/tools/moment.c
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) $(CPPFLAGS) -std=gnu17 -O2 -g $(WARN) -fPIC -shared -o $@ $< -ldl

$(BUILD)/tests/tools/attach: $(call obj,tests/tools/attach.c)
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lbpf

$(BUILD)/tests/proxy-protocol/conform: $(call obj,tests/proxy-protocol/conform.c user/base/addr.c \
		user/base/util.c)
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

units: $(UNITS)

unit: $(UNITS)
	$(Q)tests/unit/run.sh $(UNITS)

tools: $(TOOLS)

bats: all $(TOOLS)
	$(Q)TOLLGATE_BUILD=$(BUILD) tests/bats/run.sh 2

# the frame parser beside the kernel's own run of it
$(BUILD)/tests/bpf/parse_test: $(call obj,tests/bpf/parse_test.c) $(BUILD)/tests/bpf/parse.bpf.o
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $(call obj,tests/bpf/parse_test.c) -lbpf

bpf-test: $(BUILD)/tests/bpf/parse_test
	$(Q)PARSE_OBJECT=$(BUILD)/tests/bpf/parse.bpf.o tests/unit/run.sh $<

build/fuzz/parse_fuzz: tests/fuzz/parse_fuzz.c bpf/parse.h $(wildcard tests/bpf/*.h) build/tests/bpf/parse.bpf.o
	@mkdir -p $(@D)
	@echo "  FUZZ    $<"
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu17 -O1 -g -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -o $@ $< -lbpf

build/fuzz/%: tests/fuzz/%.c $(CODECS) $(BASE)
	@mkdir -p $(@D)
	@echo "  FUZZ    $<"
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu17 -O1 -g -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -o $@ $^ -lmnl -lcap -lcyaml -lyaml -lpcre2-8 -lcrypto -lm

fuzzers: $(FUZZERS)

fuzz: $(FUZZERS)
	$(Q)tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS)

lint:
	$(Q)tests/lint/check.sh

kernels: all $(TOOLS) $(BUILD)/tests/bpf/parse_test
	$(Q)tests/setup.sh kernels
	$(Q)BUILD=$(BUILD) tests/kernels/run.sh $(KERNELS)

$(BUILD)/tests/bench/packet: $(BUILD)/tests/bench/packet.o $(BUILD)/tests/bench/empty.bpf.o
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -lbpf

bench: all $(TOOLS) $(BUILD)/tests/bench/packet
	$(Q)BUILD=$(BUILD) tests/bench/relay.sh
	$(Q)BUILD=$(BUILD) tests/bench/books.sh

# --- installation ---------------------------------------------------------------------

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man8 \
		$(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/doc/tollgate $(DESTDIR)$(PREFIX)/lib/tollgate \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/sbin
	install -m 644 $(BUILD)/tollgate.bpf.o $(DESTDIR)$(PREFIX)/lib/tollgate
	install -m 644 user/tollgate.8 user/tollgate-exporter.8 proxy/tollgate-proxy.8 \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 proxy/tollgate.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 README.md config/demo.yaml $(DESTDIR)$(PREFIX)/share/doc/tollgate
	install -m 644 user/tollgate.bash-completion \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/tollgate

uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/sbin/,$(notdir $(PROGRAMS))) \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man8/,tollgate.8 tollgate-proxy.8 \
			tollgate-exporter.8) \
		$(DESTDIR)$(PREFIX)/share/man/man5/tollgate.yaml.5 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/tollgate
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/tollgate $(DESTDIR)$(PREFIX)/lib/tollgate

clean:
	rm -rf build

help:
	@echo "make                 build the three programs and build/tollgate.bpf.o"
	@echo "make run             set up, build, run the gate with CONFIG=$(CONFIG) until Ctrl-C"
	@echo "make check           set up, build, run every test"
	@echo "make unit|bpf-test|bats|lint  one part of the tests"
	@echo "make kernels          run the kernel-side tests on Debian's 6.1 and 6.12, emulated"
	@echo "make fuzz            fuzz every codec for FUZZ_SECONDS=$(FUZZ_SECONDS) each"
	@echo "make bench           compare the relay with HAProxy, nginx and sniproxy, the books with none"
	@echo "make install         DESTDIR= PREFIX=$(PREFIX); make uninstall takes it away"
	@echo "make clean           remove build/"
	@echo "V=1 shows commands, WERROR=1 stops at warnings, SAN=address,undefined sanitizes"
