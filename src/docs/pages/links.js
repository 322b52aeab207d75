// What stands behind # in the link of a letter is its token. It leaves the address, so that nobody reads it over a shoulder.
const form = document.querySelector("form"), said = document.querySelector("[role=status]"), token = location.hash.slice(1);
if (token) history.replaceState(null, "", location.pathname);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = Object.fromEntries(new FormData(form));
  if (form.dataset.token) body.token = token;
  if (!body.code) delete body.code;
  form.querySelector("button").disabled = true;
  said.textContent = "";
  try {
    const answer = await fetch("/api/v1/auth/" + form.dataset.path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const told = await answer.json();
    form.hidden = answer.ok;
    if (told.code === "second_factor_required") form.elements.code.parentElement.hidden = false;
    const faults = (told.errors || []).map((fault) => fault.pointer.slice(2).replace("_", " ") + " " + fault.detail);
    said.textContent = answer.ok ? form.dataset.done : faults.join("; ") || told.detail;
  } catch {
    said.textContent = "The service does not answer. Please try again.";
  }
  form.querySelector("button").disabled = false;
});
