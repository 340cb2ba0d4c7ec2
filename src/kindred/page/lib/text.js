/**
 * Text from outside, such as the names of files, tags and metadata, as it may be shown.
 *
 * Control and format characters can reverse a name ("photo\u202egpj.exe" reads as "photoexe.jpg"), hide a part of it
 * or begin a line. They are shown as escapes, as the command line prints them (kindred/_support/printable.py).
 */

// Joiners, used by emoji, Persian and Indic scripts, are of category Cf but harmless.
const CONTROLS = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const SHORT = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

/**
 * Text with every control and format character as an escape: "a\u202eb" with the six characters \u202e.
 * @param {string} text
 * @returns {string}
 */
export function printable(text) {
  return text.replace(CONTROLS, (character) => SHORT[character] ?? escaped(character.codePointAt(0)));
}

/** Whether text can be shown as it is, as the browser shows suggestions. @param {string} text */
export function isPrintable(text) {
  return printable(text) === text;
}

function escaped(code) {
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}
