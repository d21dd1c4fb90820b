"""The HTTP side: the API for other people's services, and the server that the console's pages live in too."""
