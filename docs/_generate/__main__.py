"""Write every page that differs from what the code says."""

from docs._generate.pages import write_all

for page, text in write_all().items():
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
        print(f"wrote {page}")
