# Thin calls; the work is in stack/. `make` alone lists the commands.
VENV ?= .venv
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))
RUN = PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m stack
export HNAI_MAKE_STARTED := $(shell date +%s)
-include .env
export

.DEFAULT_GOAL := help

# `make add-table source.table`: the second word is an argument, not a target.
ifeq ($(firstword $(MAKECMDGOALS)),add-table)
TABLE ?= $(word 2,$(MAKECMDGOALS))
$(eval $(TABLE):;@:)
endif
.PHONY: help env demo up down status logs reset close accept roll-back quarantine sql dbt add-table ot-browse ot-test ot-trust ot-package check test torture bench cluster-up cluster-test cluster-down parity

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env:
	@test -n "$(PYTHON)" || { echo "No python3 is on the PATH. Install Python 3.11 or later, or: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -I stack/bootstrap.py $(VENV)

demo: env ## start everything, land the demo operator, publish closes, show where to look
	@$(RUN) demo

up: env ## start the platform
	@$(RUN) up

down: env ## stop the platform; state is kept
	@$(RUN) down

status: env ## each service: state, port, uptime, log file
	@$(RUN) status

logs: env ## end of the logs; SERVICE=name for one
	@$(RUN) logs $(SERVICE)

reset: env ## stop and delete all state; asks first, YES=1 does not
	@$(RUN) reset $(if $(YES),--yes)

close: env ## close DAY=2026-01-31, SHIFT=2026-01-31.3 (PACK=factorypack), or FROM=… TO=…; CALENDAR=, REASON=, ACCEPT=, PACK= may follow
	@$(RUN) close $(if $(DAY)$(SHIFT),--day "$(or $(DAY),$(SHIFT))") $(if $(FROM),--from "$(FROM)") $(if $(TO),--to "$(TO)") \
	  $(if $(PACK),--pack "$(PACK)") $(if $(CALENDAR),--calendar "$(CALENDAR)") \
	  $(if $(REASON),--reason "$(REASON)") $(if $(ACCEPT),--accept "$(ACCEPT)")

accept: env ## accept a failed gate for one close: ARGS="--help"
	@PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m include.gate.accept $(ARGS)

roll-back: env ## withdraw a published close: KEY=2026-01-31@calendar (or a shift, 2026-01-31.3@calendar) WHO="name" WHY="reason"
	@PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m include.publish.rollback "$(KEY)" --who "$(WHO)" --why "$(WHY)"

quarantine: env ## rows and files set aside, and their release: ARGS=list
	@PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m include.gate.quarantine $(ARGS)

sql: env ## SQL shell on the lakehouse; Q="select …" for one query
	@$(RUN) sql $(if $(Q),-c "$(Q)")

dbt: env ## dbt on the project: ARGS="ls --resource-type model"
	@$(RUN) dbt $(ARGS)

add-table: env ## declare a source table from its own schema: make add-table SOURCE.TABLE; ZONE= may follow
	@$(RUN) add-table $(TABLE) $(if $(ZONE),--zone "$(ZONE)")

.PHONY: recall epcis
recall: env ## which units and customers hold a lot: LOT=SEAL-260131-07; what went into a unit: UNIT=…; ON=2026-01-31, CSV=, ARGS="--help" may follow
	@PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m include.packs.factorypack.recall $(if $(LOT),"$(LOT)") $(if $(UNIT),--backward "$(UNIT)") \
	  $(if $(ON),--as-known-on "$(ON)") $(if $(CSV),--csv "$(CSV)") $(ARGS)

epcis: env ## the genealogy as EPCIS 2.0 events: SHIFT=2026-01-31.1 or ITEM=lot-or-serial OUT=events.jsonld; ARGS="--help"
	@PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m include.packs.factorypack.epcis $(if $(SHIFT),--shift "$(SHIFT)") $(if $(ITEM),--item "$(ITEM)") \
	  $(if $(OUT),--out "$(OUT)") $(ARGS)

.PHONY: alerts
alerts: env ## alerts of drives: ARGS="list", ARGS="ack|close|label ALERT --who NAME --why REASON", ARGS="precision"; ARGS="--help"
	@PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m include.packs.factorypack.condition.cli $(ARGS)

ot-browse: env ## an OPC UA server's variables as rows of the tag dictionary: URL=opc.tcp://host:4840 CSV=tags.csv; ARGS="--help"
	@PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m include.ot.browse $(if $(URL),"$(URL)") $(if $(CSV),--csv "$(CSV)") $(ARGS)

ot-test: env ## ask the source of one tag, now, and say what is wrong: TAG=MES-01.tubing_head_pressure
	@PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m include.ot.probe $(if $(TAG),"$(TAG)")

ot-trust: env ## certificates of OPC UA servers, and ours: ARGS="list", ARGS="accept NAME", ARGS="reject NAME", ARGS="renew"
	@PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m include.ot.trust $(ARGS)

ot-package: env ## a bridge that runs alone on a host that sees the plant: OUT=hnai-bridge.tar.gz; SOURCES="name name" may follow
	@$(RUN) ot-package $(if $(OUT),--out "$(OUT)") $(SOURCES)

check: env ## linters and fast tests, about a minute on two cores
	@$(RUN) check

test: env ## the whole suite, the end-to-end close included; ARGS="-k name" narrows it
	@$(RUN) test $(ARGS)

torture: env ## the long trials: kills by the dozen, a transaction of a million rows
	@$(RUN) torture

cluster-up: env ## the distributed profile on this machine: fetch its servers, start them and the rest
	@HNAI_PROFILE=distributed $(RUN) up

cluster-test: env ## the tests that need Kafka, Connect and Trino
	@$(RUN) cluster-test $(ARGS)

cluster-down: env ## stop the distributed profile; state is kept
	@HNAI_PROFILE=distributed $(RUN) down

parity: env ## the same closes built by DuckDB and by Trino, every mart compared row by row; ARGS="--help"
	@HNAI_PROFILE=distributed PYTHONPATH=$(CURDIR) $(VENV)/bin/python -m stack.parity $(ARGS)

bench: env ## the benchmarks; NAME=cdc for one
	@$(RUN) bench $(NAME)
