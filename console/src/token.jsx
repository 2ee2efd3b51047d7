import { useRef, useState } from 'react';

// The field for the bearer token. A new token counts from Enter on, or from
// when the field is left: not letter by letter, while it is still incomplete.
export function TokenBar({ token, onChange }) {
  const input = useRef(null);
  const [shown, setShown] = useState(false);

  function apply() {
    const value = input.current.value.trim().replace(/^Bearer\s+/i, '');
    input.current.value = value;
    if (value !== token) onChange(value);
  }

  return (
    <header>
      <h1>Bursar explorer</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          apply();
        }}
      >
        <label htmlFor="token">Bearer token</label>
        <input
          id="token"
          ref={input}
          type={shown ? 'text' : 'password'}
          defaultValue={token}
          onBlur={apply}
          placeholder="bursar token --email …"
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
        />
        <button
          type="button"
          aria-controls="token"
          aria-label={shown ? 'Hide the token' : 'Show the token'}
          onClick={() => setShown(!shown)}
        >
          {shown ? 'Hide' : 'Show'}
        </button>
      </form>
    </header>
  );
}
