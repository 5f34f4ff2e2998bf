# Each target sets up what it needs. The work is done in tools/setup.py; variables:
#   PYTHON=python3.12     which Python makes .venv (else the first found of 3.11 or later)
#   NB=03                 which notebook
#   REPO=owner/name       the repository that Colab's badges name
#   PRESET=gpu            another preset for `make reference`
#   LAB_ARGS=--port=9999  passed on to JupyterLab
export PYTHON LAB_ARGS
WITH_PYTHON = @python=$$(sh tools/find_python.sh) && exec "$$python"

help:
	@echo "make lab          set up, and open JupyterLab on the course (NB=03: on notebook 03)"
	@echo "make test         set up, and run every test and, at small size, every notebook"
	@echo "make test-all     the same, and what takes longer: notebooks for Colab and for students run alone"
	@echo "make test-browser set up, and try notebooks, book and slides in a real browser"
	@echo "make reset NB=01  set a notebook back (EX=2: only its exercise 2); yours is kept in my-work/"
	@echo "make update       take the newest version; what it replaces of yours is kept in my-work/"
	@echo "make notebooks    run the notebooks in full and save them (NB=03: only that one)"
	@echo "make html         write the notebooks as web pages into build/html/"
	@echo "make colab        write each notebook as one file for Colab into build/colab/"
	@echo "make student      write the notebooks without solutions into build/student/, to hand out"
	@echo "make book         write the course as a web site into build/book/"
	@echo "make slides       write a deck of slides of each notebook into build/slides/"
	@echo "make reference    train the laptop preset with five seeds: its curves, and the model that ships"
	@echo "make bench        measure speeds side by side"
	@echo "make clean        remove .venv, build/ and caches; your runs, notebooks and texts stay"

lab:
	$(WITH_PYTHON) tools/setup.py lab $(NB)

test:
	$(WITH_PYTHON) tools/setup.py test

test-all:
	$(WITH_PYTHON) tools/setup.py test-all

test-browser:
	$(WITH_PYTHON) tools/setup.py test-browser

notebooks:
	$(WITH_PYTHON) tools/setup.py run tools/run_notebooks.py $(NB)

html:
	$(WITH_PYTHON) tools/setup.py run tools/export_html.py $(NB)

colab:
	$(WITH_PYTHON) tools/setup.py run tools/make_colab.py $(NB) $(if $(REPO),--repo $(REPO))

student:
	$(WITH_PYTHON) tools/setup.py run tools/make_student.py

book:
	$(WITH_PYTHON) tools/setup.py book tools/build_book.py

slides:
	$(WITH_PYTHON) tools/setup.py book tools/build_slides.py $(NB)

reference:
	$(WITH_PYTHON) tools/setup.py run tools/make_reference.py $(PRESET)

bench:
	$(WITH_PYTHON) tools/setup.py run bench.py

update:
	$(WITH_PYTHON) tools/student.py update

reset:
	$(if $(NB),,$(error say which notebook: make reset NB=03, or one exercise of it: make reset NB=03 EX=2))
	$(WITH_PYTHON) tools/student.py reset $(NB) $(if $(EX),--exercise $(EX))

clean:
	rm -rf .venv build *.egg-info .pytest_cache
	find . -path ./.git -prune -o -name __pycache__ -exec rm -rf {} +
	@echo "Kept: runs/, my-work/, notebooks/ and the texts in data/."

.PHONY: help lab test test-all test-browser notebooks html colab student book slides reference bench update reset clean
