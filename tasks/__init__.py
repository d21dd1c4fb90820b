"""What Celery runs, and what code in our own image calls.

    from tasks import request_deletion, request_deletions

Other code need not import anything: any Celery application that shares our broker may enqueue the task by its name,
`app.send_task("eraser.delete", args=[project_id, job_id], queue="eraser")`.
"""

from tasks.deletion import request_deletion, request_deletions

__all__ = ["request_deletion", "request_deletions"]
