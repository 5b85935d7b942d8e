"""Third-party libraries: calls that block, calls that compute, and objects to make once.

Names are looked up among the modules that the process has imported, so that an alias or another
way to import a thing makes no difference, and a library that is missing costs nothing.
"""

WEB = ("get", "post", "put", "patch", "delete", "head", "options", "request", "send", "stream")
COMMITTING = ("execute", "executemany", "executescript", "commit", "rollback")
READING = ("all", "first", "one", "one_or_none", "fetchall", "fetchone", "fetchmany", "scalar")
MONGO = ("find_one", "insert_one", "insert_many", "update_one", "update_many", "delete_one")

BLOCKING_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "sleep": ("time.sleep",),
    "http": (
        *(f"requests.{method}" for method in WEB[:-2]),
        *(
            f"{client}.{method}"
            for client in ("httpx", "httpx2")
            for method in WEB
            if method != "send"
        ),
        "urllib.request.urlopen",
        "urllib.request.urlretrieve",
        "smtplib.SMTP",
        "ftplib.FTP",
    ),
    "model": (
        "litellm.completion",
        "litellm.embedding",
        "ollama.chat",
        "ollama.generate",
        "ollama.embed",
        "replicate.run",
    ),
    "process": (
        *(f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output")),
        "subprocess.Popen",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "os.system",
        "os.popen",
        "os.waitpid",
    ),
    "name": ("socket.getaddrinfo", "socket.gethostbyname", "socket.create_connection"),
    "database": (
        "sqlite3.connect",
        "psycopg2.connect",
        "psycopg.connect",
        "pymysql.connect",
        "MySQLdb.connect",
    ),
    "file": (
        "builtins.open",
        *(f"shutil.{name}" for name in ("copy", "copy2", "copyfile", "copytree", "copyfileobj")),
        *(f"shutil.{name}" for name in ("move", "rmtree", "make_archive", "unpack_archive")),
        "os.fsync",
    ),
    "wait": ("concurrent.futures.wait", "select.select", "builtins.input"),
}
"""Functions that return only when something outside of the process has happened."""

BLOCKING_METHODS: dict[str, dict[tuple[str, ...], tuple[str, ...]]] = {
    "http": {
        ("httpx.Client", "httpx2.Client", "requests.Session"): WEB,
        ("botocore.client.BaseClient", "boto3.resources.base.ServiceResource"): ("*",),
        ("http.client.HTTPConnection",): ("connect", "request", "getresponse"),
        ("smtplib.SMTP",): ("login", "sendmail", "send_message", "starttls", "quit"),
        ("elasticsearch.Elasticsearch", "qdrant_client.QdrantClient"): ("*",),
    },
    "model": {
        ("openai.OpenAI", "anthropic.Anthropic", "groq.Groq", "mistralai.Mistral"): (
            *("create", "parse", "stream", "complete", "generate", "edit", "list", "retrieve"),
        ),
        ("google.genai.Client", "cohere.Client", "ollama.Client", "together.Together"): (
            *("generate_content", "embed_content", "chat", "embed", "generate", "create"),
        ),
    },
    "database": {
        ("sqlite3.Connection", "sqlite3.Cursor"): (*COMMITTING, *READING, "backup"),
        ("psycopg2.extensions.connection", "psycopg2.extensions.cursor"): (*COMMITTING, *READING),
        ("psycopg.Connection", "psycopg.Cursor", "pymysql.connections.Connection"): (
            *COMMITTING,
            *READING,
        ),
        ("sqlalchemy.orm.Session", "sqlalchemy.Connection"): (
            *(*COMMITTING, *READING, "exec", "scalars", "flush", "refresh", "get", "count"),
        ),
        ("pymongo.MongoClient", "pymongo.database.Database", "pymongo.collection.Collection"): (
            *(*MONGO, "delete_many", "replace_one", "aggregate", "count_documents"),
        ),
        ("redis.Redis",): (
            *("get", "set", "setex", "delete", "exists", "expire", "incr", "decr", "mget", "mset"),
            *("hget", "hset", "hgetall", "lpush", "rpush", "lpop", "rpop", "blpop", "brpop"),
            *("lrange", "publish", "sadd", "smembers", "zadd", "zrange", "xadd", "xread", "ping"),
            *("keys", "scan", "eval", "evalsha", "execute", "ttl", "llen"),
        ),
    },
    "file": {
        ("pathlib.Path",): ("open", "read_text", "read_bytes", "write_text", "write_bytes"),
    },
    "process": {("subprocess.Popen",): ("wait", "communicate")},
    "wait": {
        ("concurrent.futures.Future",): ("result", "exception"),
        ("_thread.LockType", "_thread.RLock", "threading.Semaphore"): ("acquire",),
        ("threading.Event", "threading.Condition", "threading.Barrier"): ("wait", "wait_for"),
        ("threading.Thread", "multiprocessing.Process"): ("join",),
        ("queue.Queue", "queue.SimpleQueue"): ("get", "join"),
    },
}
"""The same for methods, by their last name, as in `client.chat.completions.create`; `*` is all."""

TIMEOUTS = {"result": 0, "exception": 0, "wait": 0, "join": 0, "get": 1, "wait_for": 1}
TIMEOUTS |= {"communicate": 1, "select": 3}
"""Where among its arguments a call that waits may have its timeout, by its last name."""

COMPUTING_FUNCTIONS = (
    "hashlib.pbkdf2_hmac",
    "hashlib.scrypt",
    "bcrypt.hashpw",
    "bcrypt.checkpw",
    "pandas.read_csv",
    "pandas.read_excel",
    "pandas.read_parquet",
    "numpy.linalg.svd",
    "numpy.linalg.inv",
    "numpy.linalg.eig",
)
"""Functions that compute for long: a password's hash is made to take its time."""

COMPUTING_METHODS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("passlib.context.CryptContext", "pwdlib.PasswordHash", "argon2.PasswordHasher"): (
        *("hash", "verify", "verify_and_update"),
    ),
    ("sentence_transformers.SentenceTransformer",): ("encode",),
    ("sklearn.base.BaseEstimator",): ("fit", "predict", "predict_proba", "fit_transform"),
    ("onnxruntime.InferenceSession",): ("run",),
    ("transformers.Pipeline", "torch.nn.Module", "spacy.language.Language", "llama_cpp.Llama"): (
        "__call__",
    ),
}

CLIENTS = (
    *("httpx.AsyncClient", "httpx.Client", "httpx2.AsyncClient", "httpx2.Client"),
    *("httpx_aiohttp.HttpxAiohttpClient", "httpx_aiohttp.httpx2.Httpx2AiohttpClient"),
    *("requests.Session", "aiohttp.ClientSession", "boto3.client", "boto3.resource"),
    *("openai.OpenAI", "openai.AsyncOpenAI", "openai.AzureOpenAI", "openai.AsyncAzureOpenAI"),
    *("anthropic.Anthropic", "anthropic.AsyncAnthropic", "groq.Groq", "groq.AsyncGroq"),
    *("mistralai.Mistral", "google.genai.Client", "cohere.Client", "cohere.AsyncClient"),
    *("redis.Redis", "redis.from_url", "redis.asyncio.Redis", "redis.asyncio.from_url"),
    *("sqlalchemy.create_engine", "sqlalchemy.ext.asyncio.create_async_engine"),
    *("sqlmodel.create_engine", "asyncpg.create_pool", "asyncpg.connect", "pymongo.MongoClient"),
    *("pymongo.AsyncMongoClient", "motor.motor_asyncio.AsyncIOMotorClient"),
    *("elasticsearch.Elasticsearch", "elasticsearch.AsyncElasticsearch"),
    *("qdrant_client.QdrantClient", "qdrant_client.AsyncQdrantClient"),
)
"""Objects that hold connections, and are of use only where they are kept."""

MODELS = (
    *("sentence_transformers.SentenceTransformer", "transformers.pipeline", "spacy.load"),
    *("torch.load", "joblib.load", "onnxruntime.InferenceSession", "llama_cpp.Llama"),
    *("whisper.load_model", "tiktoken.get_encoding", "tokenizers.Tokenizer.from_file"),
)
"""Objects that take long to load."""

ASYNC_CLIENTS = (
    *("httpx.AsyncClient", "httpx2.AsyncClient", "aiohttp.ClientSession", "openai.AsyncOpenAI"),
    *("anthropic.AsyncAnthropic", "groq.AsyncGroq", "cohere.AsyncClient"),
)
"""Clients that reach other servers without blocking, but take as long as the servers do."""

RESULTS = {
    "threading.Lock": "_thread.LockType",
    "threading.RLock": "_thread.RLock",
    "redis.from_url": "redis.Redis",
    "redis.Redis.from_url": "redis.Redis",
    "redis.asyncio.from_url": "redis.asyncio.Redis",
    "sqlite3.connect": "sqlite3.Connection",
    "sqlite3.Connection.cursor": "sqlite3.Cursor",
    "psycopg2.connect": "psycopg2.extensions.connection",
    "boto3.client": "botocore.client.BaseClient",
    "boto3.resource": "boto3.resources.base.ServiceResource",
    "transformers.pipeline": "transformers.Pipeline",
    "spacy.load": "spacy.language.Language",
    "asyncio.get_running_loop": "asyncio.AbstractEventLoop",
    "asyncio.get_event_loop": "asyncio.AbstractEventLoop",
    "asyncio.new_event_loop": "asyncio.AbstractEventLoop",
    "asyncio.run_coroutine_threadsafe": "concurrent.futures.Future",
    "concurrent.futures.ThreadPoolExecutor.submit": "concurrent.futures.Future",
    "concurrent.futures.ProcessPoolExecutor.submit": "concurrent.futures.Future",
}
"""The classes that calls return without saying so in an annotation."""
