// What a handler in TypeScript is called with, and what it may answer.
import type { Readable } from 'stream';

/** One HTTP request. */
export interface Event {
  /** The body: parsed when it is JSON or a form by its content type, else text. */
  body: any;
  /** The body as it was sent. */
  rawBody: Buffer;
  /** The header fields by lower-case name. */
  headers: Record<string, string | string[] | undefined>;
  method: string;
  path: string;
  query: Record<string, string>;
}

/** What is the same for every request. */
export interface Context {
  functionName: string;
  hostname: string;
}

/** A whole answer. */
export interface Answer {
  statusCode?: number;
  /** Those that are null or undefined are left out. */
  headers?: Record<string, string | string[] | null | undefined>;
  body?: string | Buffer | Readable | object | number | boolean | null;
}
