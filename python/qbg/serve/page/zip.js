// A zip of files that are packed already: stored, in memory. Knows nothing of pictures.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});

export function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

function record(size, fields) {
  const view = new DataView(new ArrayBuffer(size));
  for (const [at, bytes, value] of fields) bytes === 4 ? view.setUint32(at, value, true) : view.setUint16(at, value, true);
  return new Uint8Array(view.buffer);
}

const UTF8_NAMES = 0x800;
const FIRST_DAY = 0x21; // of 1980: a zip of the same files is the same zip

/** A Blob of a zip. files: [{ name, bytes }]. Together below 4 GiB. */
export function zip(files) {
  const parts = [], central = [];
  let offset = 0, centralSize = 0;
  for (const { name, bytes } of files) {
    const label = new TextEncoder().encode(name), sum = crc32(bytes);
    const common = [[0, 2, 20], [2, 2, UTF8_NAMES], [4, 2, 0], [6, 2, 0], [8, 2, FIRST_DAY], [10, 4, sum],
      [14, 4, bytes.length], [18, 4, bytes.length], [22, 2, label.length], [24, 2, 0]];
    const at = (by) => common.map(([place, size, value]) => [place + by, size, value]);
    parts.push(record(30, [[0, 4, 0x04034b50], ...at(4)]), label, bytes);
    const entry = record(46, [[0, 4, 0x02014b50], [4, 2, 20], ...at(6), [42, 4, offset]]);
    central.push(entry, label);
    offset += 30 + label.length + bytes.length;
    centralSize += entry.length + label.length;
  }
  const end = record(22, [[0, 4, 0x06054b50], [8, 2, files.length], [10, 2, files.length], [12, 4, centralSize],
    [16, 4, offset]]);
  return new Blob([...parts, ...central, end], { type: "application/zip" });
}
