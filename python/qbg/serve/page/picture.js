// One photo: its original, its cut-out, the strokes over it, and what they come to. Knows nothing of the page.

export class Picture {
  constructor(file) {
    this.file = file;
    this.name = file.name || "pasted.png";
    this.state = "waiting";
    this.error = null;
    this.original = null;
    this.cutout = null;
    this.bytes = null; // the server's own file
    this.strokes = [];
    this.undone = [];
    this.background = { kind: "none", color: "#ffffff", image: null };
  }

  get stem() { return this.name.replace(/\.[^.]*$/, "") || "picture"; }
  get touched() { return this.strokes.length > 0 || this.background.kind !== "none"; }
  get ready() { return this.cutout !== null; }

  async take(blob) {
    this.bytes = blob;
    this.cutout = await createImageBitmap(blob, { premultiplyAlpha: "none" });
    // Turned as the camera held it, as the server does.
    this.original = await createImageBitmap(this.file, { imageOrientation: "from-image" }).catch(() => null);
  }

  begin(mode, radius) {
    this.strokes.push({ mode, radius, points: [] });
    this.undone = [];
  }

  add(x, y) { this.strokes.at(-1).points.push([x, y]); }
  undo() { if (this.strokes.length) this.undone.push(this.strokes.pop()); }
  redo() { if (this.undone.length) this.strokes.push(this.undone.pop()); }

  /** Draws the cut-out with its strokes; with its background too, if wanted. */
  draw(canvas, withBackground) {
    const { width, height } = this.cutout;
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    context.drawImage(this.cutout, 0, 0);
    for (const stroke of this.strokes) this.#stroke(context, stroke);
    if (withBackground) this.#back(context, width, height);
  }

  #stroke(context, { mode, radius, points }) {
    const line = new Path2D();
    for (const [number, [x, y]] of points.entries()) number ? line.lineTo(x, y) : line.moveTo(x, y);
    if (points.length === 1) line.lineTo(points[0][0] + 0.01, points[0][1]);
    const paint = (onto, style) => {
      onto.lineCap = onto.lineJoin = "round";
      onto.lineWidth = 2 * radius;
      onto.strokeStyle = style;
      onto.stroke(line);
    };
    context.save();
    if (mode === "erase") {
      context.globalCompositeOperation = "destination-out";
      paint(context, "#000");
    } else if (this.original) {
      // The original's own pixels, where the brush went.
      const layer = new OffscreenCanvas(context.canvas.width, context.canvas.height);
      const brush = layer.getContext("2d");
      paint(brush, "#000");
      brush.globalCompositeOperation = "source-in";
      brush.drawImage(this.original, 0, 0, layer.width, layer.height);
      context.drawImage(layer, 0, 0);
    }
    context.restore();
  }

  #back(context, width, height) {
    const { kind, color, image } = this.background;
    context.save();
    context.globalCompositeOperation = "destination-over";
    if (kind === "color") {
      context.fillStyle = color;
      context.fillRect(0, 0, width, height);
    } else if (kind === "image" && image) {
      const scale = Math.max(width / image.width, height / image.height);
      const [w, h] = [image.width * scale, image.height * scale];
      context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
    }
    context.restore();
  }

  /** A Blob of PNG: the server's own bytes unless something was changed here. */
  async file_out() {
    if (!this.touched) return this.bytes;
    const canvas = document.createElement("canvas");
    this.draw(canvas, true);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }
}
