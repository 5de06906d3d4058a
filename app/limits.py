"""Every limit of a server in one place: what a visitor may give, what reading it may cost, and what stays in memory.

docs/hosting.md explains them to whoever runs a server.
"""

MAX_CHARACTERS = 20_000
"""Of one text."""
MAX_TOKENS = 4_096
"""Of one text."""
LONGEST = 1_500
"""Characters of a text in a link."""
MOST_TEXTS = 20
"""Own texts of a tab that the address can name, the last ones: Back and Forward return to them."""
MOST_CHOICES_BYTES = 20_000
"""Of the choices in a link, unpacked."""
MOST_INTERVENTIONS = 32
"""That one visitor can have active at a time."""
MOST_INTERVENTIONS_IN_LINK = 2_000
"""Characters of the interventions in a link."""
MOST_STEPS = 50
"""Changes of the interventions that undo can take back."""
MOST_KEPT = 4_000_000
"""Characters, packed, of what a browser's tab is given to keep of a list: browsers give a page about five million."""

MAX_FILE_MB = 5
"""Of an uploaded file of prompts; the command line has no such limit."""
MAX_PROMPTS = 2_000
"""Of an uploaded file of prompts; the command line has no such limit."""
MAX_RECORD_CHARACTERS = 1_000_000
"""Of one text of a run; a text beyond the model's context is read in windows."""
MAX_RUN_PROMPTS, MAX_RUN_CHARACTERS = 20_000, 1_000_000
"""Of an uploaded file that becomes a run, on disk up to 100 MB; the command line has no such limits."""
MAX_OWN_RUNS = 8
"""Runs of uploaded files at a time, of all visitors, one each."""
MAX_COLUMNS = 1_000
"""Of a table of prompts: all of them are sent to the browser, to be chosen from."""
MAX_OTHER_COLUMNS, MAX_CELL = 12, 80
"""Columns of a table beside text and name that are kept, and characters of their cells."""
MAX_DECODED_MB = 50
"""Text that an uploaded Parquet file may unpack to: it is compressed, so that a small file may hold a great deal."""
MAX_TRACE_MB = 20
"""Of an uploaded trace file, as `maxUploadSize` in app/.streamlit/config.toml has it for all files."""
MAX_SESSION_MB = 60
"""Uploaded files that one session holds at a time: three of the largest size."""
MAX_HEADER_MB = 4
"""JSON before the arrays of a trace: the strings of 4,096 tokens and their predictions take a tenth of it."""

MEMORY_MB = 1_000
"""Of the process that reads an uploaded file."""
CPU_S = 4
"""Seconds of a processor core for reading an uploaded file; one of the largest size takes less than one."""
CLOCK_S = 30
"""Seconds by the clock for reading an uploaded file, whose reader may wait for cores that others keep busy."""
READERS = 2
"""Uploaded files that are read at a time."""

MAX_TRACES = 48
"""Traces in memory, of all visitors."""
MAX_PATHS_BYTES = 288 * 2**20
"""Of one capture of all paths: 256 tokens of a model with 30 layers of 576; of a larger one, fewer tokens."""
MAX_ALL_PATHS_BYTES = 2 * MAX_PATHS_BYTES
"""Of the captures of all paths in memory, of all visitors."""
MAX_KNOCK_OUTS_BYTES = 192 * 2**20
"""Of the knock-outs of texts in memory, of all visitors."""
MAX_SUMMARIES = 20_000
"""Rows of lists of prompts in memory, of all visitors; five numbers each."""
MAX_LIST_STUDIES = 8
"""Studies of visitors' lists in memory, of all visitors, and of runs; some megabytes each."""
MAX_GENERATED = 512
"""Tokens that one press of a button generates."""
MAX_BRANCHES = 12
"""Of a generated text, with the text itself."""
MAX_GENERATIONS = 32
"""Generations whose cached keys and values are in memory, of all visitors; others are read again to go on."""
MAX_GENERATION_BYTES = 256 * 2**20
"""Of these keys and values; the last one stays, however large it is."""
MAX_MODELS = 3
"""Models in memory."""
MOST_TOKENS = 10_000
"""Of all texts of one study; later texts are left out. They take half a minute to study, and some megabytes."""
MOST_THREADS = 4
"""Processor threads of a text, unless OMP_NUM_THREADS says otherwise."""
MAX_SWEEP_BYTES = 256 * 2**20
"""Of what a sweep over all depths begins from: every layer's output with each number of loops for a window's tokens."""
MAX_KEPT_SWEEPS_BYTES = 64 * 2**20
"""Of the results of all sweeps over depth and lambda, of all visitors."""
MOST_NOTES, MOST_NOTE_CHARACTERS = 200, 1_000
"""Notes and bookmarks of a visitor, and characters of one."""
MOST_NOTED_CHARACTERS = 500_000
"""Of the texts that a visitor's notes are about: a tab keeps them."""

MAX_RUNS = 3
"""Runs that are open at a time, of all visitors; each may take `analysis.runs.run.MEMORY_MB` for its questions."""
TYPED_AT_A_TIME = 2
"""Questions in SQL that visitors typed and that are answered at once; others wait."""
QUESTION_MEMORY_MB, QUESTION_CPU_S = 1_500, 30
"""Of the process that answers a question in SQL, and seconds of all its cores together; DuckDB uses a third of it."""
MOST_TABLES = 400
"""Tables of the panels about runs in memory, of all visitors; some kilobytes each."""
MAX_LAYER_COUNTS_BYTES = 32 * 2**20
"""Of what is counted for the cards of layers of runs in memory, of all visitors; the last one stays."""
MAX_SAMPLES_BYTES = 64 * 2**20
"""Of the tokens drawn for maps of runs in memory, of all visitors; the last sample stays, however large it is."""
MAX_MAPS = 6
"""Maps of runs by PCA in memory, of all visitors, and maps by UMAP of one visitor."""
