# All commands for people and CI. `make help` lists them.

GIVEN := $(PYTHON)
# Evaluated only where it is used.
override PYTHON = $(shell infra/find-python '$(GIVEN)' 2>/dev/null)
UCI = $(if $(filter demo,$(MAKECMDGOALS)),$(if $(DATASET),,--uci))
BIN := .venv/bin
LOCAL := $(BIN)/python -m infra.local
# Only on the command line, never from the environment: it overrides what protects the model in production.
FORCED = $(and $(filter command line,$(origin FORCE)),$(filter 1,$(FORCE)))
ALSO_OTHERS = $(and $(filter command line,$(origin OTHER_SITES)),$(filter 1,$(OTHER_SITES)))
LOAD_URL = $(if $(filter command line,$(origin URL)),--url '$(URL)')

export PATH := $(CURDIR)/$(BIN):$(PATH)
export SAM_CLI_TELEMETRY := 0
# Without bytecode on disk every command and server would compile its packages again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up observe grafana down status logs env deploy pipeline score check-source example-months predict serve ui exporter history rollback monitor challenger abort-challenger replay deliveries withdraw find-patient erase redrive evaluate train-distributed recalibrate rebuild openapi icd-codes bench bench-compare capacity load-test load-ui soak chaos screenshots platform-parameters images sbom audit manifests test unit lint docs format statemachine clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

# ---------------------------------------------------------------- set up
setup: .venv/.made infra/localstack/.venv/.made ## install what the other targets need

.venv/.made: uv.lock pyproject.toml layers/readmission/pyproject.toml
	@test -n "$(PYTHON)" || infra/find-python '$(GIVEN)'
	@test -x $(BIN)/python || "$(PYTHON)" -m infra.local.requirements $(UCI)
	@echo "setup       installing Python packages into .venv ..." >&2
	@{ $(BIN)/python -c '' && test -x $(BIN)/uv; } 2>/dev/null || { "$(PYTHON)" -m venv --clear .venv && $(BIN)/pip install --quiet --disable-pip-version-check uv; }
	@$(BIN)/uv sync --quiet --frozen --all-groups
	@touch $@

infra/localstack/.venv/.made: .venv/.made infra/localstack/pyproject.toml infra/localstack/uv.lock
	@echo "setup       installing LocalStack and the Lambda runtime into infra/localstack ..." >&2
	@$(MAKE) --silent -C infra/localstack setup UV="$(CURDIR)/$(BIN)/uv" PYTHON="$(PYTHON)"
	@touch $@

# ---------------------------------------------------------------- run
demo: setup ## start everything, deploy, run the pipeline, predict  [DATASET=file|URL|s3://…|synthetic:rows=N]
	@$(LOCAL) demo $(if $(DATASET),--dataset '$(DATASET)')

up: setup ## start Postgres, MLflow and LocalStack, and restore what was deployed
	@$(LOCAL) up

observe: setup ## `make up` with Prometheus; as root, installs the Debian package if it is missing  [PROMETHEUS=path|off]
	@$(LOCAL) observe

grafana: setup ## open the dashboard in your Grafana, on http://127.0.0.1:3000  [GRAFANA=path of the binary, HOMEPATH=…]
	@infra/grafana/serve '$(GRAFANA)' '$(HOMEPATH)'

down: setup ## stop everything; all data stays
	@$(LOCAL) down

status: setup ## show what is running, and where
	@$(LOCAL) status

logs: setup ## follow the logs of servers or functions  [NAME=postgres|mlflow|localstack|s3-mirror, or FUNCTION=predict|all CORRELATION= SINCE=minutes ALL=1 RAW=1 ONCE=1]
	@$(LOCAL) logs $(NAME) $(if $(FUNCTION),--function '$(FUNCTION)') $(if $(CORRELATION),--correlation '$(CORRELATION)') \
	    $(if $(SINCE),--since '$(SINCE)') $(if $(ALL),--all) $(if $(RAW),--raw) $(if $(ONCE),--once)

env: setup ## print shell exports for clients: eval "$(make -s env)"
	@$(LOCAL) env

deploy: setup ## build the application and deploy it to LocalStack  [PARAMETERS='PredictionLog=on PatientHistory=on'; kept until others, or none, are given]
	@$(LOCAL) deploy $(if $(filter command line,$(origin PARAMETERS)),--parameters '$(PARAMETERS)')

pipeline: setup ## run the training pipeline and show its progress  [DATASET= MAPPING=file.yaml SITE= TAKEN_ON=YYYY-MM-DD DIAG_VERSION=icd9|icd10 BATCH_SIZE= MODELS=a,b START_AT= STOP_AFTER= FORCE=1 BY=name REASON='…' RESUME=execution]
	@$(LOCAL) pipeline $(if $(DATASET),--dataset '$(DATASET)') $(if $(MAPPING),--mapping '$(MAPPING)') $(if $(BATCH_SIZE),--batch-size $(BATCH_SIZE)) \
	    $(if $(SITE),--site '$(SITE)') $(if $(TAKEN_ON),--taken-on '$(TAKEN_ON)') \
	    $(if $(DIAG_VERSION),--diag-version '$(DIAG_VERSION)') \
	    $(if $(MODELS),--models $(MODELS)) $(if $(START_AT),--start-at $(START_AT)) \
	    $(if $(STOP_AFTER),--stop-after $(STOP_AFTER)) $(if $(RESUME),--resume '$(RESUME)') \
	    $(if $(BY),--by '$(BY)') $(if $(REASON),--reason '$(REASON)') $(if $(FORCED),--force)

check-source: setup ## say what the pipeline would do with a file, or write a first mapping for it  [DATASET=file MAPPING=file.yaml, or URL, s3://…]
	@test -n '$(DATASET)' || { echo "Usage: make check-source DATASET=file MAPPING=file.yaml, each also s3://bucket/key" >&2; exit 2; }
	@$(LOCAL) check-source '$(DATASET)' $(if $(MAPPING),--mapping '$(MAPPING)')

example-months: setup ## play six months of a hospital: deliveries, drift, late labels, a new model on trial  [DATASET= SEED= ORDER=patients|time]
	@$(LOCAL) example-months $(if $(DATASET),--dataset '$(DATASET)') $(if $(SEED),--seed '$(SEED)') $(if $(ORDER),--order '$(ORDER)')

predict: setup ## request one prediction through the gateway  [PATIENT=file.json]
	@$(LOCAL) predict $(if $(PATIENT),--patient '$(PATIENT)')

score: setup ## score all rows of a file, or all stays of a delivery, in a job  [SOURCE=file or S3 key, or DELIVERY=name; EXPLAIN=none|high|all]
	@test -n '$(SOURCE)$(DELIVERY)' || { echo "Usage: make score SOURCE=file, or make score DELIVERY=name. To list the deliveries: make deliveries" >&2; exit 2; }
	@$(LOCAL) score $(if $(SOURCE),--source '$(SOURCE)') $(if $(DELIVERY),--delivery '$(DELIVERY)') $(if $(EXPLAIN),--explain '$(EXPLAIN)')

serve: setup ## run the API without the gateway, on http://127.0.0.1:8000  [HOST= PORT= MODEL_NAME= API_KEYS_FILE= METRICS_PORT= PATIENT_HISTORY=on PREDICTION_LOG=on]
	@exports=$$($(LOCAL) env) && eval "$$exports" && export MODEL_NAME=$${MODEL_NAME:-readmission} && \
	    export DATABASE_SECRET=$${DATABASE_SECRET:-readmission/database/reader} DATABASE_TLS=$${DATABASE_TLS:-disable} && \
	    exec $(BIN)/python -m readmission.serving

exporter: setup ## run the metrics exporter, on http://127.0.0.1:9105/metrics; COST=60 prints its monthly cost on AWS  [HOST= PORT= COST=]
	@exports=$$($(LOCAL) env) && eval "$$exports" && export STACK_NAME=$${STACK_NAME:-readmission} && \
	    exec $(BIN)/python -m readmission.telemetry.exporter $(if $(COST),--cost $(COST))
ui: setup ## run the web pages for clinicians and data scientists, on http://127.0.0.1:8501  [PORT=]
	@exports=$$($(LOCAL) env) && eval "$$exports" && \
	    exec $(BIN)/python -m streamlit run ui/app.py --server.port $${PORT:-8501}

history: setup ## show promotions, refusals and rollbacks with their reasons
	@$(LOCAL) history

rollback: setup ## put an earlier model version back into production  [REASON='…' VERSION=n BY=name FORCE=1]
	@$(LOCAL) rollback $(if $(VERSION),--version '$(VERSION)') $(if $(REASON),--reason '$(REASON)') \
	    $(if $(BY),--by '$(BY)') $(if $(FORCED),--force)

challenger: setup ## show the version that is tried on live requests, or try another one  [VERSION=n REASON='…' BY=name FORCE=1]
	@$(LOCAL) challenger $(if $(VERSION),--version '$(VERSION)') $(if $(REASON),--reason '$(REASON)') \
	    $(if $(BY),--by '$(BY)') $(if $(FORCE),--force)

abort-challenger: setup ## take the version that is tried on live requests back  [REASON='…' BY=name]
	@$(LOCAL) abort-challenger $(if $(REASON),--reason '$(REASON)') $(if $(BY),--by '$(BY)')

replay: setup ## score a version on the logged requests  [VERSION=n ROWS=newest requests]
	@test -n '$(VERSION)' || { echo "Usage: make replay VERSION=n. To list the versions: make history" >&2; exit 2; }
	@$(LOCAL) replay '$(VERSION)' $(if $(ROWS),--rows '$(ROWS)')

monitor: setup ## run the monitor now, and show quality, drift and alerts of what has arrived
	@$(LOCAL) monitor

deliveries: setup ## show what has been delivered, what became of it, and how it differs from what came before
	@$(LOCAL) deliveries

withdraw: setup ## take a delivery back, so that nothing of it is learned from any more  [DELIVERY=name REASON='…']
	@test -n '$(DELIVERY)' || { echo "Usage: make withdraw DELIVERY=name. To list the deliveries: make deliveries" >&2; exit 2; }
	@$(LOCAL) withdraw '$(DELIVERY)' $(if $(REASON),--reason '$(REASON)')

find-patient: setup ## show what is stored of a patient, and which models were trained on it  [PATIENT=number SITE=name]
	@test -n '$(PATIENT)' -a -n '$(SITE)' || { echo "Usage: make find-patient PATIENT=number SITE=name. The site of a delivery that names none is default" >&2; exit 2; }
	@$(LOCAL) find-patient '$(PATIENT)' --site '$(SITE)'

# Only on the command line does FORCE=1 delete.
erase: setup ## delete everything that is stored of a patient, for good  [PATIENT=number SITE=name REASON='…' BY=name FORCE=1]
	@test -n '$(PATIENT)' -a -n '$(SITE)' || { echo "Usage: make erase PATIENT=number SITE=name REASON='…'. The site of a delivery that names none is default" >&2; exit 2; }
	@$(LOCAL) erase '$(PATIENT)' --site '$(SITE)' $(if $(REASON),--reason '$(REASON)') $(if $(BY),--by '$(BY)') $(if $(FORCED),--force)

redrive: setup ## send the dead letters of the prediction log again
	@$(LOCAL) redrive

evaluate: setup ## cross-validate the recipe over patient-grouped folds, compared with 14 fields alone  [DATASET= MODEL=family ENGINE=scikit-learn|lightgbm]
	@$(LOCAL) evaluate $(if $(DATASET),--dataset '$(DATASET)') $(if $(MODEL),--model '$(MODEL)') \
	    $(if $(ENGINE),--engine '$(ENGINE)')

train-distributed: setup ## train gradient boosting on a Dask cluster of several processes  [WORKERS= ROWS=]
	@$(LOCAL) train-distributed $(if $(WORKERS),--workers '$(WORKERS)') $(if $(ROWS),--rows '$(ROWS)')

recalibrate: setup ## fit a version to the base rates of a site, and let it challenge the version in production  [SITE=name VERSION=n REASON='…' BY=name OTHER_SITES=1]
	@test -n '$(SITE)' || { echo "Usage: make recalibrate SITE=name. To list the sites: make deliveries" >&2; exit 2; }
	@$(LOCAL) recalibrate '$(SITE)' $(if $(VERSION),--version '$(VERSION)') $(if $(REASON),--reason '$(REASON)') \
	    $(if $(BY),--by '$(BY)') $(if $(ALSO_OTHERS),--other-sites)

rebuild: setup ## train a version again from the rows of then, and check that the same model comes out  [VERSION=n]
	@test -n '$(VERSION)' || { echo "Usage: make rebuild VERSION=n. To list the versions: make history" >&2; exit 2; }
	@$(LOCAL) rebuild '$(VERSION)'

# On standard output the parameters alone, for --parameter-overrides.
platform-parameters: setup ## print what the platform's stack on AWS passes on to the application's  [PLATFORM=stack name]
	@$(BIN)/python -m infra.aws.parameters $(if $(PLATFORM),'$(PLATFORM)')

# ---------------------------------------------------------------- develop
bench: setup ## measure speed, memory and growth, compared with peers  [ONLY=prediction,history,ingest,pipeline,growth,pages,concurrency,scale,score ROUNDS= GROWTH_ROWS= ROWS=of scale and score JSON=file DIABETES_DATA=]
	@$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only '$(ONLY)') $(if $(ROUNDS),--rounds $(ROUNDS)) \
	    $(if $(GROWTH_ROWS),--growth-rows $(GROWTH_ROWS)) $(if $(ROWS),--scale-rows $(ROWS)) $(if $(JSON),--json '$(JSON)')

bench-compare: setup ## compare two results of bench  [A=file B=file]
	@test -n '$(A)' -a -n '$(B)' || { echo "Usage: make bench-compare A=file B=file, with files written by make bench JSON=file" >&2; exit 2; }
	@$(BIN)/python -m tests.benchmarks --compare '$(A)' '$(B)'

capacity: setup ## estimate concurrency, requests per second, connections and cost on AWS from a result of bench  [JSON=file]
	@$(BIN)/python -m tests.benchmarks.capacity '$(JSON)'

# Only an URL on the command line can direct load to another machine, never an environment variable.
load-test: setup ## measure how many requests per second the deployed API sustains  [P95_MS= MAX_FAILURES= STEP= HOLD= MAX_USERS= REPEATS= AT_LEAST= OUT= URL=]
	@$(BIN)/python -m tests.load $(LOAD_URL) $(if $(P95_MS),--p95-ms $(P95_MS)) \
	    $(if $(MAX_FAILURES),--max-failures $(MAX_FAILURES)) $(if $(STEP),--step $(STEP)) $(if $(HOLD),--hold $(HOLD)) \
	    $(if $(SETTLE),--settle $(SETTLE)) $(if $(THINK),--think $(THINK)) $(if $(MAX_USERS),--max-users $(MAX_USERS)) \
	    $(if $(REPEATS),--repeats $(REPEATS)) $(if $(AT_LEAST),--at-least $(AT_LEAST)) $(if $(OUT),--out '$(OUT)')

load-ui: setup ## run the same load from Locust's web page, on http://127.0.0.1:8089  [URL= THINK=]
	@$(BIN)/python -m tests.load --ui $(LOAD_URL) $(if $(THINK),--think $(THINK))

soak: setup ## measure whether memory stays flat over many requests  [REQUESTS= EVERY= MINUTES= JSON=file]
	@$(BIN)/python -m tests.load.soak $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(EVERY),--every $(EVERY)) \
	    $(if $(MINUTES),--minutes $(MINUTES)) $(if $(JSON),--json '$(JSON)')

# Only on the command line: it kills servers and adds synthetic data beside real data.
chaos: setup ## break the running platform on purpose, and check that it keeps what is guaranteed  [SEED= ROUNDS= MINUTES= ONLY=fault,… JSON=file FORCE=1]
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	    $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ONLY),--only '$(ONLY)') $(if $(JSON),--json '$(JSON)') \
	    $(if $(FORCED),--force)

test: setup ## run all tests: unit, integration, end to end  [ONLY=package DIABETES_DATA=archive.zip for those on the real data]
	@$(if $(ONLY),,$(LOCAL) install $(if $(PROMETHEUS),,prometheus) chromium buildah debootstrap || test -z "$$CI")
	@$(BIN)/python -m tests $(if $(ONLY),--only '$(ONLY)')

screenshots: setup ## take screenshots of the web pages for the docs, into ui/screenshots; needs chromium  [DIABETES_DATA=archive.zip]
	@SCREENSHOTS=ui/screenshots $(BIN)/pytest -s tests/e2e/test_ui.py

images: setup ## build the container images with docker, podman or buildah  [ONLY=api,ui,… TOOL=docker|podman|buildah]
	@$(BIN)/python -m infra.containers build $(if $(ONLY),--only '$(ONLY)') $(if $(TOOL),--tool '$(TOOL)')

sbom: setup ## write a bill of materials (CycloneDX) of each image, into infra/containers/sbom
	@$(BIN)/python -m infra.containers sbom

audit: setup ## look for known vulnerabilities of the packages in the images; needs pypi.org
	@$(BIN)/python -m infra.containers audit

manifests: setup ## print the manifests for Kubernetes of an overlay  [OVERLAY=aws|standalone]
	@test -n '$(OVERLAY)' || { echo "Usage: make manifests OVERLAY=aws, or OVERLAY=standalone" >&2; exit 2; }
	@$(BIN)/python -m infra.kubernetes render '$(OVERLAY)'

unit: setup ## run the tests that need no server
	@$(BIN)/pytest tests/unit

lint: setup ## run CI's checks other than the tests
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@for handler in functions/*/app.py; do $(BIN)/mypy --no-error-summary "$$handler" || exit 1; done
	@$(BIN)/lint-imports
# Finds fixtures that cannot be resolved, such as one of a wrong scope, without starting a server.
	@plan=$$($(BIN)/pytest --setup-plan -q tests/e2e tests/integration 2>&1) || { \
	    printf '%s\n' "$$plan" | grep -v '^ *\(SETUP\|TEARDOWN\)' >&2; exit 1; }
	@git ls-files -z | xargs -0 $(BIN)/codespell
	@git ls-files -z '*.md' | xargs -0 $(BIN)/proselint check --config tests/proselint.json
	@$(BIN)/python -m tests.prose
	@$(BIN)/cfn-lint template.yaml infra/aws/*.yaml
	@$(BIN)/sam validate --lint
	@$(BIN)/python -m infra.kubernetes check
	@$(BIN)/python -m tests.checkov
	@$(BIN)/hadolint infra/containers/Containerfile
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec infra/containers/compose.yaml

openapi: setup ## generate functions/predict/openapi.json from the application
	@$(BIN)/python -m readmission.serving --openapi functions/predict/openapi.json

icd-codes: setup ## generate the tables of ICD-10-CM codes: CMS's equivalence mappings, and names
	@$(BIN)/python layers/readmission/generate_icd10.py

statemachine: setup ## generate the JSON files of the state machines from the YAML files
	@$(BIN)/python statemachines/generate.py

# Warnings are errors, broken links and anchors among them. External links are listed, not fetched.
docs: setup ## build the documentation as a site, into docs/_build/html
	@$(BIN)/sphinx-build -W --keep-going -n -q -d docs/_build/doctrees -b html docs docs/_build/html
	@echo "docs/_build/html/index.html; its external links: docs/_build/html/external-links.txt"

format: setup ## format the code, and fix what ruff can fix
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean: ## stop everything and delete all generated files and data
	@if [ -x $(BIN)/python ]; then $(LOCAL) clean; fi
	@rm -rf .aws-sam .venv infra/localstack/.venv infra/localstack/.runtimes infra/containers/sbom docs/_build docs/reference/generated .pytest_cache .mypy_cache .ruff_cache
