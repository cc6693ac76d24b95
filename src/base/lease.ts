/** Something lent that is given back once: early, or when this is disposed. */
export class Lease implements Disposable {
  #held: Disposable | undefined;

  get isHeld(): boolean {
    return this.#held !== undefined;
  }

  /** Only where nothing is held. */
  protected hold(lent: Disposable | undefined): void {
    this.#held = lent;
  }

  giveBack(): void {
    const held = this.#held;
    this.#held = undefined;
    held?.[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.giveBack();
  }
}
