/**
 * Draws a map with WebGL2: all points in one call from one buffer, all thumbnails in another from strips of sheets.
 * Nothing is allocated while the camera moves.
 */

import { HEIGHT, SLOTS, WIDTH } from "./strips.js";
import { BOX_FLOATS, MOST_BOXES } from "./boxes.js";

const POINTS = `#version 300 es
in vec2 at;
in vec4 style;
uniform vec2 centre, zoom;
uniform float size;
out vec4 colour;
out float sharp;
void main() {
  gl_Position = vec4((at - centre) * zoom, 0.0, 1.0);
  float scale = style.a > 0.95 ? 1.7 : 1.0;
  gl_PointSize = style.a < 0.02 ? 0.0 : size * scale + 1.0;
  sharp = size * scale + 1.0;
  colour = vec4(style.rgb, style.a);
}`;

const DISC = `#version 300 es
precision mediump float;
in vec4 colour;
in float sharp;
out vec4 pixel;
void main() {
  float edge = (0.5 - length(gl_PointCoord - 0.5)) * sharp;
  float alpha = colour.a * clamp(edge, 0.0, 1.0);
  if (alpha < 0.01) discard;
  pixel = vec4(colour.rgb * alpha, alpha);
}`;

const THUMBNAILS = `#version 300 es
in vec4 box;
in vec4 part;
in float slot;
in vec4 frame;
uniform vec2 centre, zoom, pixel;
out vec2 inside;
out vec2 half_size;
out vec2 texel;
flat out vec4 edges;
flat out float layer;
flat out vec4 ring;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  float out_by = frame.a > 0.9 ? 4.0 : frame.a > 0.1 ? 2.0 : 1.0;
  half_size = box.zw * 0.5;
  inside = (corner * 2.0 - 1.0) * (half_size + out_by);
  gl_Position = vec4((box.xy - centre) * zoom + inside * pixel, 0.0, 1.0);
  texel = part.xy + (inside / box.zw + 0.5) * part.zw;
  edges = vec4(part.xy + 0.5, part.xy + part.zw - 0.5);
  layer = slot;
  ring = frame;
}`;

// Four taps over the footprint of a pixel, since thumbnails are mostly drawn smaller than they are.
const FRAMED = `#version 300 es
precision highp float;
precision highp sampler2DArray;
in vec2 inside, half_size, texel;
flat in vec4 edges;
flat in float layer;
flat in vec4 ring;
uniform sampler2DArray strips;
uniform float radius;
out vec4 pixel;
const vec2 SIZE = vec2(${WIDTH}.0, ${HEIGHT}.0);
vec3 tap(vec2 at) { return texture(strips, vec3(clamp(at, edges.xy, edges.zw) / SIZE, layer)).rgb; }
void main() {
  vec2 foot = 0.25 * fwidth(texel);
  vec3 colour = 0.25 * (tap(texel + foot * vec2(1, 1)) + tap(texel + foot * vec2(-1, 1)) + tap(texel + foot * vec2(1, -1)) + tap(texel - foot));
  vec2 q = abs(inside) - half_size + radius;
  float outer = length(max(q, 0.0)) + min(max(q.x, q.y), 0.0) - radius;
  float width = ring.a > 0.9 ? 3.5 : ring.a > 0.1 ? 1.5 : 0.0;
  float image = clamp(0.5 - outer, 0.0, 1.0);
  float framed = clamp(width + 0.5 - outer, 0.0, 1.0);
  pixel = vec4(mix(ring.rgb, colour, image) * framed, framed);
}`;

/**
 * Whether this browser draws with WebGL2 on a graphics card. Where it computes the pixels itself, Canvas 2D takes less
 * (benchmarks/atlas.py).
 */
export function supported() {
  try {
    return Boolean(document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true }));
  } catch {
    return false;
  }
}

export class WebglRenderer {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{lost: () => void, slots?: number}} options lost: called when the context is gone for good
   */
  constructor(canvas, { lost, slots = SLOTS }) {
    this.kind = "webgl2";
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true, powerPreference: "low-power" });
    if (!gl) throw new Error("WebGL2 is not available");
    this.gl = gl;
    this.lost = (event) => {
      event.preventDefault();
      lost();
    };
    canvas.addEventListener("webglcontextlost", this.lost);
    this.count = 0;
    this.#points();
    this.#thumbnails(slots);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  resize(width, height, ratio) {
    this.ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
  }

  /** Take the points of a map; once. @param {Float32Array} points */
  setPoints(points) {
    const { gl } = this;
    this.count = points.length / 2;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.at);
    gl.bufferData(gl.ARRAY_BUFFER, points, gl.STATIC_DRAW);
  }

  /** Take colour and state of the points, four bytes each. @param {Uint8Array} styles */
  setStyles(styles) {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.style);
    gl.bufferData(gl.ARRAY_BUFFER, styles, gl.DYNAMIC_DRAW);
  }

  /** Take a strip into a slot. @param {number} slot @param {ImageBitmap} strip */
  put(slot, strip) {
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.texture);
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, slot, strip.width, strip.height, 1, gl.RGBA, gl.UNSIGNED_BYTE, strip);
    strip.close();
  }

  /**
   * Draw a frame.
   * @param {import("./camera.js").Camera} camera @param {import("./camera.js").Size} size
   * @param {{pointSize: number, boxes: import("./boxes.js").Boxes}} what
   */
  draw(camera, size, { pointSize, boxes }) {
    const { gl } = this;
    const across = (2 * camera.scale) / size.width;
    const down = (-2 * camera.scale) / size.height;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.pointsProgram);
    gl.uniform2f(this.pointsAt.centre, camera.x, camera.y);
    gl.uniform2f(this.pointsAt.zoom, across, down);
    gl.uniform1f(this.pointsAt.size, pointSize * this.ratio);
    gl.bindVertexArray(this.pointsArray);
    gl.drawArrays(gl.POINTS, 0, this.count);
    if (boxes.count > 0) this.#drawBoxes(camera, size, across, down, boxes);
    gl.bindVertexArray(null);
  }

  close() {
    this.canvas.removeEventListener("webglcontextlost", this.lost);
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  #drawBoxes(camera, size, across, down, boxes) {
    const { gl } = this;
    gl.useProgram(this.framedProgram);
    gl.uniform2f(this.framedAt.centre, camera.x, camera.y);
    gl.uniform2f(this.framedAt.zoom, across, down);
    gl.uniform2f(this.framedAt.pixel, 2 / size.width, -2 / size.height);
    gl.uniform1f(this.framedAt.radius, boxes.radius);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.instances);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, boxes.bytes, 0, boxes.count * BOX_FLOATS * 4);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.texture);
    gl.bindVertexArray(this.framedArray);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, boxes.count);
  }

  #points() {
    const { gl } = this;
    [this.pointsProgram, this.pointsAt] = this.#program(POINTS, DISC, ["centre", "zoom", "size"]);
    this.pointsArray = gl.createVertexArray();
    gl.bindVertexArray(this.pointsArray);
    this.at = this.#buffer();
    this.#attribute(this.pointsProgram, "at", 2, gl.FLOAT, false, 0, 0);
    this.style = this.#buffer();
    this.#attribute(this.pointsProgram, "style", 4, gl.UNSIGNED_BYTE, true, 0, 0);
    gl.bindVertexArray(null);
  }

  #thumbnails(slots) {
    const { gl } = this;
    [this.framedProgram, this.framedAt] = this.#program(THUMBNAILS, FRAMED, ["centre", "zoom", "pixel", "radius", "strips"]);
    this.framedArray = gl.createVertexArray();
    gl.bindVertexArray(this.framedArray);
    this.instances = this.#buffer();
    gl.bufferData(gl.ARRAY_BUFFER, MOST_BOXES * BOX_FLOATS * 4, gl.DYNAMIC_DRAW);
    const stride = BOX_FLOATS * 4;
    const each = [["box", 4, gl.FLOAT, false, 0], ["part", 4, gl.FLOAT, false, 16], ["slot", 1, gl.FLOAT, false, 32], ["frame", 4, gl.UNSIGNED_BYTE, true, 36]];
    for (const [name, count, type, normal, offset] of each) {
      const place = this.#attribute(this.framedProgram, name, count, type, normal, stride, offset);
      gl.vertexAttribDivisor(place, 1);
    }
    gl.bindVertexArray(null);
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.texture);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RGBA8, WIDTH, HEIGHT, slots);
    for (const [name, value] of [["MIN_FILTER", gl.LINEAR], ["MAG_FILTER", gl.LINEAR], ["WRAP_S", gl.CLAMP_TO_EDGE], ["WRAP_T", gl.CLAMP_TO_EDGE]]) {
      gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl[`TEXTURE_${name}`], value);
    }
  }

  #buffer() {
    const buffer = this.gl.createBuffer();
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    return buffer;
  }

  #attribute(program, name, count, type, normal, stride, offset) {
    const place = this.gl.getAttribLocation(program, name);
    this.gl.enableVertexAttribArray(place);
    this.gl.vertexAttribPointer(place, count, type, normal, stride, offset);
    return place;
  }

  #program(vertex, fragment, names) {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      const shaders = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
      throw new Error(`WebGL2 program: ${[gl.getProgramInfoLog(program), ...shaders].filter(Boolean).join("; ")}`);
    }
    return [program, Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]))];
  }
}
