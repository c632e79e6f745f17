"""An approved batch: a person says yes to the price, and picks which of the videos go on.

The prompts come from a file. What the batch will cost is worked out beforehand, and nothing is paid for
before somebody approves it under *Required Actions*. When the videos are there, somebody looks at them in the
run's *Videos* tab and says which ones are to be extended, and how. Needs Airflow 3.1 or later.
"""

from __future__ import annotations

from pathlib import Path

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLEntryOperator
from airflow.sdk import DAG, Param, task

from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.operators.runway import RunwayExtendOperator, RunwayGenerateOperator

with DAG(
    dag_id="approved_batch",
    schedule=None,
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
    params={
        "prompts": Param(
            str(Path(__file__).with_name("media") / "prompts.txt"),
            type="string",
            description="A text file of the worker: one prompt a line.",
        ),
        "folder": Param(
            "file:///tmp/runway-videos",
            type="string",
            description="Where the videos go: a folder of the worker, or a URL such as s3://bucket/videos.",
        ),
    },
) as dag:

    @task
    def read_prompts(params: dict) -> list[str]:
        """Return the lines of the file that are not empty."""
        return [line.strip() for line in Path(params["prompts"]).read_text().splitlines() if line.strip()]

    @task
    def work_out_price(prompts: list[str]) -> dict:
        """Return what the batch will cost; a prompt that breaks a rule fails here, before it is paid for."""
        credits = sum(GenerateVideo(prompt).price or 0 for prompt in prompts)
        return {"videos": len(prompts), "credits": credits, "dollars": credits * 0.005}

    prompts = read_prompts()
    price = work_out_price(prompts)
    approve = ApprovalOperator(
        task_id="approve",
        subject="Make {{ ti.xcom_pull('work_out_price').videos }} videos for "
        "{{ ti.xcom_pull('work_out_price').credits }} credits?",
        body="{% for prompt in ti.xcom_pull('read_prompts') %}- {{ prompt }}\n{% endfor %}"
        "\nThat is ${{ '%.2f' % ti.xcom_pull('work_out_price').dollars }}. Rejected, nothing is made.",
    )
    videos = RunwayGenerateOperator.partial(
        task_id="videos",
        map_index_template="{{ task.prompt }}",
        path="{{ params.folder }}/{{ run_id }}/",
        deferrable=True,
    ).expand(prompt=prompts)
    pick = HITLEntryOperator(
        task_id="pick",
        subject="Which videos go on?",
        body="Look at them in the *Videos* tab of this run.\n"
        "{% for prompt in ti.xcom_pull('read_prompts') %}\n- {{ loop.index0 }}: {{ prompt }}{% endfor %}",
        params={
            "numbers": Param([], type="array", items={"type": "integer"}, description="None ends the run."),
            "what_happens_next": Param("The camera moves slowly back", type="string", maxLength=1800),
        },
        # A video that failed does not keep the others from going on; a batch that was rejected ends here.
        trigger_rule="none_skipped",
    )

    @task
    def picked(answer: dict, ti=None) -> list[dict]:
        """Return what to extend: for each picked number the Runway task ID, and the prompt."""
        said = answer["params_input"]
        ids = [
            ti.xcom_pull(task_ids="videos", key="runway_task_id", map_indexes=number)
            for number in said["numbers"]
        ]
        return [{"parent_task_id": found, "prompt": said["what_happens_next"]} for found in ids]

    price >> approve >> videos >> pick
    RunwayExtendOperator.partial(
        task_id="extensions", path="{{ params.folder }}/{{ run_id }}/extended/", deferrable=True
    ).expand_kwargs(picked(pick.output))
