"use strict";
(function () {
  var doors = Array.prototype.slice.call(document.querySelectorAll(".open"));
  var dialog = document.querySelector("dialog");
  var stage = dialog.querySelector(".large");
  var label = dialog.querySelector(".under span");
  var status = document.querySelector("[role=status]");
  var current = 0;

  function enlarge(index) {
    current = (index + doors.length) % doors.length;
    var door = doors[current];
    var shot = door.querySelector(".shot");
    stage.textContent = "";
    if (shot) {
      var copy = shot.cloneNode(true);
      copy.querySelector("img").decoding = "sync";
      stage.appendChild(copy);
      // The thumbnail is there at once; the original takes its place if the browser can show it.
      var original = new Image();
      original.src = door.href;
      original.decode().then(function () { copy.querySelector("img").src = original.src; }, function () {});
    } else {
      stage.textContent = "No preview";
    }
    label.textContent = door.dataset.label;
    if (!dialog.open) { dialog.showModal(); }
  }

  doors.forEach(function (door, index) {
    door.addEventListener("click", function (event) {
      if (event.ctrlKey || event.metaKey || event.shiftKey) { return; }
      event.preventDefault();
      enlarge(index);
    });
  });
  dialog.addEventListener("close", function () { if (doors.length) { doors[current].focus(); } });
  stage.addEventListener("click", function () { dialog.close(); });
  dialog.querySelectorAll("[data-step]").forEach(function (button) {
    button.addEventListener("click", function () {
      var step = Number(button.dataset.step);
      if (step) { enlarge(current + step); } else { dialog.close(); }
    });
  });
  document.addEventListener("keydown", function (event) {
    var step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) { return; }
    if (dialog.open) { event.preventDefault(); enlarge(current + step); return; }
    var at = doors.indexOf(document.activeElement);
    if (at >= 0 && doors[at + step]) { event.preventDefault(); doors[at + step].focus(); }
  });

  function copied(button, text) {
    function done() {
      button.classList.add("done");
      status.textContent = "Path copied";
      setTimeout(function () { button.classList.remove("done"); status.textContent = ""; }, 1500);
    }
    function byHand() {
      var field = document.createElement("textarea");
      field.value = text;
      document.body.appendChild(field);
      field.select();
      if (document.execCommand("copy")) { done(); }
      field.remove();
      button.focus();
    }
    if (navigator.clipboard) { navigator.clipboard.writeText(text).then(done, byHand); } else { byHand(); }
  }
  document.querySelectorAll(".copy").forEach(function (button) {
    button.addEventListener("click", function () { copied(button, button.dataset.path); });
  });
})();
