// Signing in: a token is traded for a cookie that no script can read. The page beneath stays as it is.

import { h, fill } from "./dom.js";

let asking = null;

/** Resolves once somebody has signed in. However many requests wait for it, there is one dialog. */
export function signIn() {
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

function ask() {
  const token = h("input", {
    type: "password",
    id: "token",
    autocomplete: "current-password",
    required: true,
    "aria-describedby": "token-error",
  });
  const error = h("p", { id: "token-error", class: "field-error", role: "alert" });
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "sign-in-title" }, "Sign in"),
    h(
      "p",
      {},
      "Your token, as ",
      h("code", {}, "netadapt token create"),
      " printed it. What you have filled in on this page stays.",
    ),
    h("label", { for: "token" }, "Token"),
    token,
    error,
    h("button", { type: "submit", class: "primary" }, "Sign in"),
  );
  const dialog = h("dialog", { "aria-labelledby": "sign-in-title" }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    let signedIn = false;
    // Escape closes it, the second time whatever "cancel" says; the page waits for the token, so it is there again.
    dialog.addEventListener("close", () => {
      if (!signedIn) {
        dialog.showModal();
        return;
      }
      dialog.remove();
      resolve();
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const refusal = await open(token.value.trim());
      if (refusal !== null) {
        fill(error, refusal);
        token.focus();
        return;
      }
      document.getElementById("sign-out").hidden = false;
      signedIn = true;
      dialog.close(); // gives the focus back to where it was
    });
  });
}

async function open(token) {
  let response;
  try {
    response = await fetch("/v1/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
  } catch {
    return "The service does not answer.";
  }
  if (response.ok) return null;
  return response.status === 401 ? "This token is not valid here." : (await response.json()).detail;
}
