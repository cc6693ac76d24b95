"""Clones, and commits and pushes, with libgit2: `clone URL DIR` or `push DIR URL REFNAME FILE`."""
import os
import sys
import pygit2


class Callbacks(pygit2.RemoteCallbacks):
    """Offers the key named in the environment and trusts the test's host."""

    def credentials(self, url, username_from_url, allowed_types):
        key = os.environ["CLIENT_KEY"]
        return pygit2.Keypair(username_from_url or "git", key + ".pub", key, "")

    def certificate_check(self, certificate, valid, host):
        return True

    def push_update_reference(self, refname, message):
        if message is not None:
            sys.exit(f"{refname}: {message}")


verb, *args = sys.argv[1:]
if verb == "clone":
    pygit2.clone_repository(args[0], args[1], callbacks=Callbacks())
else:
    directory, url, refname, name = args
    repository = pygit2.Repository(directory)
    with open(f"{directory}/{name}", "w") as file:
        file.write("written by libgit2\n")
    repository.index.add(name)
    tree = repository.index.write_tree()
    who = pygit2.Signature("L", "l@example.org")
    parents = [repository.head.target]
    repository.create_commit(refname, who, who, "Add a file", tree, parents)
    repository.remotes.create("there", url).push([f"{refname}:{refname}"], callbacks=Callbacks())
