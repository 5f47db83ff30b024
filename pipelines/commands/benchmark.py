"""x"""
import typer
app = typer.Typer()
def doctor() -> None:
    """x"""
