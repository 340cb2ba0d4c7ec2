/** A photo from a computer's camera, in a dialog. */

import { h } from "./dom.js";
import { openDialog } from "./dialog.js";
import { icon } from "./icons.js";

/** @returns {Promise<Blob | null>} null if there is no camera, it may not be used, or the dialog was dismissed */
export async function takePhoto() {
  const video = h("video", { autoplay: true, playsinline: true, muted: true, "aria-label": "What the camera sees" });
  const note = h("p", { class: "soft", role: "status" }, "Waiting for the camera …");
  const shoot = h("button", { class: "button button-primary", type: "button", disabled: true, on: { click: take } }, icon("camera"), "Take the photo");
  const dialog = openDialog({ title: "Take a photo", wide: true, content: h("div", { class: "camera" }, video, note, shoot) });
  let photo = null;
  let stream = null;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
    video.srcObject = stream;
    await video.play();
    note.hidden = true;
    shoot.disabled = false;
    shoot.focus();
  } catch (error) {
    note.textContent = error.name === "NotAllowedError"
      ? "The camera may not be used: allow it in the browser, beside the address."
      : "There is no camera that can be used.";
  }
  await dialog.closed;
  for (const track of stream?.getTracks() ?? []) track.stop();
  return photo;

  async function take() {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    photo = await new Promise((resolve) => {
      canvas.toBlob(resolve, "image/jpeg", 0.92);
    });
    dialog.close("taken");
  }
}
