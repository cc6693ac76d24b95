/** Object ids and object formats. Only these parsers make an `Oid`. */
declare const oidBrand: unique symbol;
/** A full object id in lower-case hex: 40 digits (sha1) or 64 (sha256). */
export type Oid = string & { readonly [oidBrand]: true };

export const OBJECT_FORMATS = ['sha1', 'sha256'] as const;
export type ObjectFormat = (typeof OBJECT_FORMATS)[number];

const HEX = /^[0-9a-f]+$/;

export function oidHexLength(format: ObjectFormat): 40 | 64 {
  return format === 'sha1' ? 40 : 64;
}

/** The oid in `text`, or undefined where it is not a full lower-case hex oid of that format. */
export function parseOid(text: string, format: ObjectFormat): Oid | undefined {
  return text.length === oidHexLength(format) && HEX.test(text) ? (text as Oid) : undefined;
}

/** The null oid: "does not exist" in a ref update. */
export function zeroOid(format: ObjectFormat): Oid {
  return '0'.repeat(oidHexLength(format)) as Oid;
}

export function isZeroOid(oid: Oid): boolean {
  return oid.startsWith('0000000000') && /^0+$/.test(oid);
}
