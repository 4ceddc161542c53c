import type { IsovecError } from "../errors.js";

/** The classes that a worker makes objects of. */
export type ClassName =
  | "TextEmbedder"
  | "ClipTextEmbedder"
  | "ImageEmbedder"
  | "Fusion"
  | "SearchIndex";

/** An object of the worker beside the one that was asked for, and its plain properties. */
export interface Made {
  readonly object: number;
  readonly facts: unknown;
}

/** The functions that a worker runs. */
export type FunctionName =
  | "models"
  | "version"
  | "cosineSimilarity"
  | "dot"
  | "l2Normalize"
  | "topK"
  | "zeroShot";

/** What the page asks of a worker. */
export type Ask =
  | {
      readonly id: number;
      readonly do: "init";
      readonly wasm: string | WebAssembly.Module | undefined;
    }
  | {
      readonly id: number;
      readonly do: "create";
      readonly class: ClassName;
      readonly how: string;
      readonly args: readonly unknown[];
    }
  | {
      readonly id: number;
      readonly do: "call";
      readonly object: number;
      readonly method: string;
      readonly args: readonly unknown[];
    }
  | {
      readonly id: number;
      readonly do: "function";
      readonly name: FunctionName;
      readonly args: readonly unknown[];
    }
  | { readonly id: number; readonly do: "abort" }
  | { readonly id: number; readonly do: "dispose"; readonly object: number };

/** What a worker answers. */
export type Answer =
  | { readonly id: number; readonly value: unknown; readonly object?: number }
  | { readonly id: number; readonly error: PlainError }
  | { readonly id: number; readonly event: EventName; readonly value: unknown };

/** The callbacks of options. A function cannot be sent: `true` in its place asks for its calls. */
export type EventName = "onProgress" | "onWarning";

/** An error that can be sent. */
export interface PlainError {
  readonly code: string;
  readonly message: string;
}

export function plainError({ code, message }: IsovecError): PlainError {
  return { code, message };
}

/** One end of a line between a page and a worker, of a browser or of Node. */
export interface Port<Sent, Received> {
  send(message: Sent, transfer?: ArrayBuffer[]): void;
  onMessage(listener: (message: Received) => void): void;
}
