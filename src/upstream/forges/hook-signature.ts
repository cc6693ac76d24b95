/**
 * Whether a webhook is from who holds its secret. GitHub: `X-Hub-Signature-256: sha256=HEX`; Gitea and Forgejo:
 * `X-Gitea-Signature`/`X-Forgejo-Signature: HEX`, both HMAC-SHA-256 of the body; GitLab: `webhook-signature: v1,BASE64` over
 * id, time and body (Standard Webhooks), or from older ones the secret itself in `X-Gitlab-Token`.
 */
import { createHash, createHmac, timingSafeEqual, type Hmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { ForgeKind } from './forge.ts';

/** Takes the body as it comes, in pieces: nothing of it is kept. */
export interface HookCheck {
  update(chunk: Uint8Array): void;
  /** Once, behind the last piece. Takes the same time whatever is wrong. */
  isRight(): boolean;
}

/** @param secret 32 bytes in base64url, as the forge was given it */
export function checkHook(kind: ForgeKind, secret: string, headers: IncomingHttpHeaders): HookCheck {
  if (kind === 'gitlab') return checkGitlab(secret, headers);
  const names = kind === 'github' ? ['x-hub-signature-256'] : ['x-forgejo-signature', 'x-gitea-signature'];
  const shown = names.map((name) => headers[name]).find((value) => value !== undefined);
  const text = typeof shown === 'string' ? shown : '';
  return compared(createHmac('sha256', secret), fromHex(kind === 'github' ? text.replace(/^sha256=/, '') : text));
}

function checkGitlab(secret: string, headers: IncomingHttpHeaders): HookCheck {
  const [signature, id, time] = [headers['webhook-signature'], headers['webhook-id'], headers['webhook-timestamp']];
  if (signature === undefined) {
    // Compared by digests: neither length nor start of the secret shows in the time that it takes.
    const shown = headers['x-gitlab-token'];
    const [given, wanted] = [digest(typeof shown === 'string' ? shown : ''), digest(secret)];
    return { update() {}, isRight: () => timingSafeEqual(given, wanted) };
  }
  const hmac = createHmac('sha256', Buffer.from(secret, 'base64url'));
  hmac.update(`${String(id)}.${String(time)}.`);
  // Several, while a key is replaced; one that we can check is enough.
  const first = String(signature)
    .split(' ')
    .find((each) => each.startsWith('v1,'));
  return compared(hmac, Buffer.from(first?.slice(3) ?? '', 'base64'));
}

function compared(hmac: Hmac, shown: Buffer): HookCheck {
  return {
    update: (chunk) => void hmac.update(chunk),
    isRight() {
      const made = hmac.digest();
      return shown.length === made.length && timingSafeEqual(shown, made);
    },
  };
}

function fromHex(text: string): Buffer {
  return /^[0-9a-fA-F]{64}$/.test(text) ? Buffer.from(text, 'hex') : Buffer.alloc(0);
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
