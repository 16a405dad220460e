"""What each command does, a few lines each; the work is in the modules beside."""

import subprocess
import sys
from pathlib import Path

import click

from include.settings import ROOT, settings


@click.group()
def commands() -> None:
    """The platform on this machine."""


@commands.command()
def up() -> None:
    """Start the platform and return once every service is healthy."""
    from stack.platform import up as start
    from stack.where import where_to_look

    start()
    click.echo(where_to_look())


@commands.command()
def down() -> None:
    """Stop the platform; all state is kept."""
    from stack.platform import down as stop

    stop()


@commands.command()
def status() -> None:
    """Show each service: state, port, uptime, log file. Fails when one that should run is not healthy."""
    from stack.status import table

    text, is_well = table()
    click.echo(text)
    sys.exit(0 if is_well else 1)


@commands.command()
@click.argument("service", default="")
@click.option("--follow/--no-follow", default=sys.stdout.isatty())
@click.option("--lines", default=40)
def logs(service: str, follow: bool, lines: int) -> None:
    """Show the end of the logs: of all services, or of one."""
    from stack.services import SERVICES

    if service and service not in SERVICES:
        raise click.UsageError(f"There is no service {service!r}. Take one of: {', '.join(SERVICES)}")
    chosen = [SERVICES[service]] if service else list(SERVICES.values())
    files = [str(one.log) for one in chosen if one.log.exists()]
    if not files:
        raise RuntimeError("Nothing is logged yet. Start the platform: make up")
    sys.exit(subprocess.call(["tail", f"--lines={lines}", *(["--follow=name"] if follow else []), *files]))


@commands.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Stop the platform and delete all its state: data, closes, secrets, logs."""
    from stack.platform import down as stop
    from stack.platform import forget

    if not yes:
        click.confirm(f"Delete everything in {settings.state_dir}, published closes included?", abort=True)
    stop()
    forget()
    click.echo(f"{settings.state_dir} is gone. Start anew: make up, or make demo")


@commands.command()
def demo() -> None:
    """Start everything, land the demo operator, close 35 days and then yesterday."""
    from stack.demo import run

    run()


@commands.command()
@click.option("--day", default="", help="One production date, 2026-01-31, or one shift, 2026-01-31.3.")
@click.option("--from", "first", default="", help="First production date or shift of a range.")
@click.option("--to", "last", default="", help="Last production date or shift of a range.")
@click.option("--pack", default="energypack", show_default=True)
@click.option("--calendar", default="", help="One calendar; every calendar of the pack without it.")
@click.option("--reason", default="", help="Why the close is made or made again; stays in its record.")
@click.option("--accept", default="", help="Gate failures to accept for this close: see docs/how-to.")
def close(day: str, first: str, last: str, pack: str, calendar: str, reason: str, accept: str) -> None:
    """Close a production day, a shift, or a range of either, and follow it to its end."""
    from stack.close import close_periods, window

    close_periods(pack, calendar, *window(day, first, last), reason=reason, accept=accept)


@commands.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sql(arguments: tuple[str, ...]) -> None:
    """Open a SQL shell on the lakehouse; a query may follow: -c "select …"."""
    from stack.shell import open_shell

    sys.exit(open_shell(arguments))


@commands.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dbt(arguments: tuple[str, ...]) -> None:
    """Run dbt on the project: make dbt ARGS="ls"."""
    from stack.shell import run_dbt

    sys.exit(run_dbt(arguments))


@commands.command()
@click.argument("table")
@click.option("--zone", help="IANA zone of the table's local times, where no other table tells it")
def add_table(table: str, zone: str | None) -> None:
    """Declare a source table SOURCE.TABLE from the source's own schema: YAML entry and staging model."""
    from include.add_table import main

    sys.exit(main([table, *(["--zone", zone] if zone else [])]))


@commands.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("hnai-bridge.tar.gz"))
@click.argument("sources", nargs=-1)
def ot_package(out: Path, sources: tuple[str, ...]) -> None:
    """Write a bridge that installs and runs alone, for all OT sources or those named."""
    from stack.bridge_package import build

    click.echo(f"{build(out, sources)}: copy it to the host, unpack it, run ./install.sh there")


@commands.command()
def check() -> None:
    """Linters and fast tests, about a minute on two cores."""
    from stack.quality import check as run

    sys.exit(run())


@commands.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """The whole suite, the end-to-end close included."""
    from stack.quality import test as run

    sys.exit(run(arguments))


@commands.command()
def torture() -> None:
    """The long trials that CI does not run."""
    from stack.quality import torture as run

    sys.exit(run())


@commands.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def cluster_test(arguments: tuple[str, ...]) -> None:
    """The trials of the distributed profile, on folders and ports of their own."""
    from stack.quality import cluster_test as run

    sys.exit(run(arguments))


@commands.command()
@click.argument("names", nargs=-1)
def bench(names: tuple[str, ...]) -> None:
    """Run the benchmarks, all or those named, and print their figures."""
    known = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("[!_]*.py"))}
    if unknown := set(names) - set(known):
        raise click.UsageError(f"There is no benchmark {', '.join(sorted(unknown))}. Take of: {', '.join(known)}")
    failed = [
        name for name in names or known if subprocess.call([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT)
    ]
    if failed:
        raise RuntimeError(f"These benchmarks failed: {', '.join(failed)}")
