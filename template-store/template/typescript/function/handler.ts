import type { Event, Context, Answer } from '../faas';

// Answers a request. What is returned (text, a Buffer, a stream, an Answer, or anything that JSON can hold) is the answer.
export async function handle(event: Event, context: Context): Promise<Answer> {
  return { statusCode: 200, headers: { 'Content-Type': 'text/plain; charset=utf-8' }, body: event.rawBody };
}
