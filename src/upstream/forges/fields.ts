/** Fields of what a forge answered: it is another party's JSON, so whatever does not fit is the forge's failure, in words. */
import { Fault } from '../../base/fault.ts';
import { isJsonObject, type Json } from '../../base/json.ts';

export interface AnswerFields {
  id(key: string): string;
  text(key: string): string;
  /** '' where there is none: things of others in a list need not be like ours. */
  optionalText(key: string): string;
  flag(key: string): boolean;
  object(key: string): AnswerFields;
}

/** @throws Fault `upstream` where it is no object; so do the fields, each for its type. */
export function answerFields(value: Json | undefined): AnswerFields {
  if (!isJsonObject(value)) throw odd('object');
  return {
    id(key) {
      const found = value[key];
      if (typeof found === 'number' && Number.isSafeInteger(found) && found > 0) return String(found);
      throw odd(key);
    },
    text(key) {
      const found = value[key];
      if (typeof found === 'string') return found;
      throw odd(key);
    },
    optionalText(key) {
      const found = value[key];
      return typeof found === 'string' ? found : '';
    },
    flag(key) {
      const found = value[key];
      if (typeof found === 'boolean') return found;
      throw odd(key);
    },
    object: (key) => answerFields(value[key] ?? {}),
  };
}

/** `TYPE BASE64` of an OpenSSH public key line, without its comment. */
export function bareKey(line: string): string {
  return line.trim().split(/\s+/).slice(0, 2).join(' ');
}

function odd(field: string): Fault {
  return new Fault('upstream', 'forge answered something odd', {
    context: { field, isUnsure: true },
    publicMessage: `the forge answered in a form that is not its API's (${field})`,
  });
}
