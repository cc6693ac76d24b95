"""Clones, and commits and pushes, with dulwich: `clone URL DIR` or `push DIR URL REFNAME FILE`."""
import sys
from dulwich import porcelain

verb, *args = sys.argv[1:]
if verb == "clone":
    porcelain.clone(args[0], args[1], errstream=sys.stderr.buffer)
else:
    directory, url, refname, name = args
    with open(f"{directory}/{name}", "w") as file:
        file.write("written by dulwich\n")
    porcelain.add(directory, [f"{directory}/{name}"])
    porcelain.commit(directory, message=b"Add a file", author=b"D <d@example.org>", committer=b"D <d@example.org>")
    porcelain.push(directory, url, f"HEAD:{refname}".encode(), errstream=sys.stderr.buffer)
